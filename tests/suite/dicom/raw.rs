//! An association spoken by hand, for what no program says of itself.

use std::net::{SocketAddr, TcpStream};

use dicom_core::{DataElement, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::Pdu;
use dicom_ul::association::{ClientAssociation, ClientAssociationOptions};
use dicom_ul::pdu::{PDataValue, PDataValueType};

use crate::support::peers::DEADLINE;
use crate::support::slices::{Slice, data_set};

/// For CT images in explicit little endian.
pub fn associated(address: SocketAddr) -> ClientAssociation<TcpStream> {
    ClientAssociationOptions::new()
        .calling_ae_title("SCANNER")
        .called_ae_title("FLOW")
        .with_presentation_context(uids::CT_IMAGE_STORAGE, vec![uids::EXPLICIT_VR_LITTLE_ENDIAN])
        .read_timeout(DEADLINE)
        .establish(address)
        .expect("the association is accepted")
}

/// A command as another library writes it.
pub fn command(field: u16, class: &str, instance: &str, has_data_set: bool) -> Vec<u8> {
    let short = |tag, number: u16| DataElement::new(tag, VR::US, dicom_value!(U16, [number]));
    let command = InMemDicomObject::command_from_element_iter([
        DataElement::new(tags::AFFECTED_SOP_CLASS_UID, VR::UI, class),
        short(tags::COMMAND_FIELD, field),
        short(tags::MESSAGE_ID, 77),
        short(tags::PRIORITY, 0),
        short(tags::COMMAND_DATA_SET_TYPE, if has_data_set { 0 } else { 0x0101 }),
        DataElement::new(tags::AFFECTED_SOP_INSTANCE_UID, VR::UI, instance),
    ]);
    let mut bytes = Vec::new();
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    command.write_dataset_with_ts(&mut bytes, &syntax).expect("a command can be written");
    bytes
}

pub const C_STORE: u16 = 0x0001;

/// A C-STORE-RQ, whose data set follows.
pub fn store_command(sop_instance_uid: &str) -> Vec<u8> {
    command(C_STORE, uids::CT_IMAGE_STORAGE, sop_instance_uid, true)
}

pub fn fragment(context: u8, value_type: PDataValueType, is_last: bool, data: Vec<u8>) -> Pdu {
    Pdu::PData { data: vec![PDataValue { presentation_context_id: context, value_type, is_last, data }] }
}

/// Sends a command, and a data set if there is one.
pub fn say(association: &mut ClientAssociation<TcpStream>, command: Vec<u8>, data: Option<&[u8]>) {
    let context = association.presentation_contexts()[0].id;
    association.send(&fragment(context, PDataValueType::Command, true, command)).expect("it is taken");
    let fragments: Vec<&[u8]> = data.map(|data| data.chunks(16 << 10).collect()).unwrap_or_default();
    for (index, bytes) in fragments.iter().enumerate() {
        let last = index + 1 == fragments.len();
        let fragment = fragment(context, PDataValueType::Data, last, bytes.to_vec());
        association.send(&fragment).expect("it is taken");
    }
}

/// The status of the answer to what was said.
pub fn status(association: &mut ClientAssociation<TcpStream>) -> u16 {
    let Pdu::PData { data } = association.receive().expect("there is an answer") else { panic!("no answer") };
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    let answer = InMemDicomObject::read_dataset_with_ts(data[0].data.as_slice(), &syntax);
    let answer = answer.expect("it is a command set");
    let number = |tag| answer.element(tag).expect("it is there").to_int::<u16>().expect("it is a number");
    assert_eq!(number(tags::MESSAGE_ID_BEING_RESPONDED_TO), 77);
    number(tags::STATUS)
}

/// Sends one data set under a SOP instance UID and gives the status of the answer.
pub fn store(association: &mut ClientAssociation<TcpStream>, sop_instance_uid: &str, data: &[u8]) -> u16 {
    say(association, store_command(sop_instance_uid), Some(data));
    status(association)
}

/// Sends a slice, which must be taken.
pub fn store_slice(association: &mut ClientAssociation<TcpStream>, slice: &Slice) {
    assert_eq!(store(association, &slice.uid(), data_set(&slice.file())), 0, "{}", slice.uid());
}
