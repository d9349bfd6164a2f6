//! The storage provider: the listener, its associations, and the services on them.

pub(in crate::dicom) mod known_addresses;
pub(in crate::dicom) mod listen;
pub(in crate::dicom) mod provider;
pub(in crate::dicom) mod server;
pub(in crate::dicom) mod session;
pub(in crate::dicom) mod settings;
pub(in crate::dicom) mod slots;
