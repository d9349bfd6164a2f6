//! The three services of the sample, on a port of this machine: slow, failing, hanging, busy and out of order where
//! that is wanted.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value as JsonValue;

use super::answers;
use super::http::{self, ServiceAnswer, ServiceRequest};
use super::search::DocumentIndex;

/// What goes wrong. Every so many calls, counted over all services; 0 for never.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceTroubles {
    /// The time that a call takes at least; some take up to four times as long, so that answers come out of order.
    pub delay: Duration,
    /// Calls that are answered with status 503.
    pub fail_every: u64,
    /// Calls that are answered with status 429 and `Retry-After: 1`.
    pub busy_every: u64,
    /// Calls that are not answered at all for so long.
    pub hang_every: u64,
    pub hang: Duration,
}

/// The calls that the services have seen.
#[derive(Clone, Debug, Default)]
pub struct ServiceCounts {
    /// Calls.
    pub calls: u64,
    /// Calls that went wrong on purpose.
    pub troubled: u64,
    /// How often each batch was answered, by its idempotency key.
    pub answered: BTreeMap<String, u64>,
}

/// The services. They end with the process.
pub struct SampleServices {
    address: SocketAddr,
    shared: Arc<ServicesShared>,
}

struct ServicesShared {
    troubles: ServiceTroubles,
    counts: Mutex<ServiceCounts>,
}

impl SampleServices {
    /// Starts the services on a free port of this machine.
    ///
    /// # Errors
    /// If there is none, or the index of the search cannot be made.
    pub fn start(troubles: ServiceTroubles) -> io::Result<SampleServices> {
        SampleServices::start_at("127.0.0.1:0", troubles)
    }

    /// Starts the services at an address.
    ///
    /// # Errors
    /// If it is taken, or the index of the search cannot be made.
    pub fn start_at(address: &str, troubles: ServiceTroubles) -> io::Result<SampleServices> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        DocumentIndex::new().map_err(io::Error::other)?;
        let shared = Arc::new(ServicesShared { troubles, counts: Mutex::default() });
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("flow:sample-services".to_owned());
        thread.spawn(move || {
            for connection in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                let thread = std::thread::Builder::new().name("flow:sample-service".to_owned());
                // A connection that cannot be served is closed, and its caller tries again.
                let _ = thread.spawn(move || serving.serve(connection));
            }
        })?;
        Ok(SampleServices { address, shared })
    }

    /// The services of this process, for addresses that begin with `sample:`. They are started at their first use,
    /// and have a few troubles of each kind.
    ///
    /// # Errors
    /// If they cannot be started.
    pub fn of_process() -> io::Result<String> {
        static SERVICES: OnceLock<Mutex<Option<SampleServices>>> = OnceLock::new();
        let services = SERVICES.get_or_init(Mutex::default);
        let mut services = services.lock().unwrap_or_else(PoisonError::into_inner);
        if services.is_none() {
            let troubles = ServiceTroubles {
                delay: Duration::from_millis(2),
                fail_every: 17,
                busy_every: 101,
                hang_every: 0,
                hang: Duration::ZERO,
            };
            *services = Some(SampleServices::start(troubles)?);
        }
        Ok(services.as_ref().map(SampleServices::url).unwrap_or_default())
    }

    /// The address before the paths of the services: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls that the services have seen so far.
    pub fn counts(&self) -> ServiceCounts {
        self.shared.lock().clone()
    }
}

impl ServicesShared {
    fn serve(&self, connection: TcpStream) {
        // An index for each connection: SQLite's connections are for one thread.
        let Ok(index) = DocumentIndex::new() else { return };
        let Ok(mut to) = connection.try_clone() else { return };
        // An answer is written at once, so that nothing is gained by waiting for more of it.
        let _ = connection.set_nodelay(true);
        let mut from = BufReader::new(connection);
        while let Ok(Some(request)) = http::read(&mut from) {
            let answer = self.answer(&request, &index);
            if http::write(&mut to, &answer).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &ServiceRequest, index: &DocumentIndex) -> ServiceAnswer {
        let number = {
            let mut counts = self.lock();
            counts.calls += 1;
            counts.calls
        };
        let ServiceTroubles { delay, fail_every, busy_every, hang_every, hang } = self.troubles;
        let is_due = |every: u64| every > 0 && number.is_multiple_of(every);
        std::thread::sleep(delay * (1 + (number % 4) as u32));
        if is_due(hang_every) {
            std::thread::sleep(hang);
        }
        let failed = |status, retry_after| {
            self.lock().troubled += 1;
            ServiceAnswer { status, retry_after, body: b"\"out of order\"".to_vec() }
        };
        if is_due(fail_every) {
            return failed(503, None);
        }
        if is_due(busy_every) {
            return failed(429, Some(1));
        }
        let Ok(jobs) = serde_json::from_slice::<Vec<JsonValue>>(&request.body) else {
            return ServiceAnswer { status: 400, retry_after: None, body: b"\"no JSON array\"".to_vec() };
        };
        let answers: Vec<JsonValue> =
            jobs.iter().map(|job| answers::answer(&request.path, job, index)).collect();
        *self.lock().answered.entry(request.key.clone()).or_default() += 1;
        let body = serde_json::to_vec(&answers).expect("JSON can be written as JSON");
        ServiceAnswer { status: 200, retry_after: None, body }
    }

    fn lock(&self) -> MutexGuard<'_, ServiceCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
