//! The intake of instances, over all protocols, until their study is complete.

pub(in crate::dicom) mod arriving;
pub(in crate::dicom) mod completion;
pub(in crate::dicom) mod event;
pub(in crate::dicom) mod expected;
pub mod folder;
pub(in crate::dicom) mod inbox;
pub(in crate::dicom) mod instance;
pub(in crate::dicom) mod instance_intake;
pub(in crate::dicom) mod mixture;
pub(in crate::dicom) mod panics;
pub(in crate::dicom) mod partial_file;
pub(in crate::dicom) mod rejections;
pub(in crate::dicom) mod remark;
pub(in crate::dicom) mod replacement;
pub(in crate::dicom) mod restore;
pub(in crate::dicom) mod sender;
pub(in crate::dicom) mod studies;
pub(in crate::dicom) mod waiting;
