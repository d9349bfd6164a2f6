//! The sample model server as a program of its own: `cargo run --example chat_model -- 127.0.0.1:8095 '{"delay_ms": 2000}'`.
//!
//! It prints its address, and runs until it is ended. `POST /troubles` sets what goes wrong, `GET /counts` says what it
//! has seen.

use std::error::Error;

use flow::chat::{ModelTroubles, SampleModel};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8095".to_owned());
    let troubles: ModelTroubles = match arguments.next() {
        Some(json) => serde_json::from_str(&json)?,
        None => ModelTroubles::default(),
    };
    let server = SampleModel::start_at(&address, troubles)?;
    println!("{}", server.url());
    loop {
        std::thread::park();
    }
}
