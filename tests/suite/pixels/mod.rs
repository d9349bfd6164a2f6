//! Pixels of every transfer syntax, byte for byte against other people's decoders.

mod collections;
mod encoders;
mod referee;
