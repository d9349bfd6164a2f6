//! What travels from step to step: a shared, immutable, typed value.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A type that steps may exchange.
pub trait Payload: Any + Send + Sync {
    /// The name that messages and dataflow files use, for example `volume`. One type, one name.
    const TYPE: &'static str;
}

/// A value with its type's name. Cloning shares it: pixels stay where they are.
#[derive(Clone)]
pub struct Value {
    kind: &'static str,
    data: Arc<dyn Any + Send + Sync>,
}

impl Value {
    pub fn new<T: Payload>(data: T) -> Value {
        Value::shared(Arc::new(data))
    }

    pub fn shared<T: Payload>(data: Arc<T>) -> Value {
        Value { kind: T::TYPE, data }
    }

    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn get<T: Payload>(&self) -> Option<&T> {
        self.data.downcast_ref()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.kind)
    }
}
