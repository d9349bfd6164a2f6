//! The sample model server: it speaks the form of chat completions, and answers by fixed rules instead of a model.
//!
//! The server is slow, busy, hanging, and gives garbage or half an answer where that is wanted, so that what asks it can be tried.
//!
//! | path | |
//! |---|---|
//! | `POST /v1/chat/completions` | an answer, as events where the question says `"stream": true` |
//! | `GET /counts` | what it has seen: [`ModelCounts`] |
//! | `POST /troubles` | what goes wrong from now on: [`ModelTroubles`], of which any field can be left out |

mod rules;
mod serve;
mod troubles;

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use crate::tally::http;

pub use troubles::ModelTroubles;

/// Counts of what the server has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCounts {
    /// Questions.
    pub calls: u64,
    /// Questions of which the whole answer was sent.
    pub answered: u64,
    /// Questions that went wrong on purpose.
    pub troubled: u64,
    /// Questions that were being answered at the same time, at most.
    pub at_once_max: u64,
    /// How often each question was answered, by its idempotency key.
    pub keys: BTreeMap<String, u64>,
}

/// The server. It ends with the process.
pub struct SampleModel {
    address: SocketAddr,
    shared: Arc<ModelShared>,
}

struct ModelShared {
    state: Mutex<ModelState>,
}

#[derive(Default)]
struct ModelState {
    troubles: ModelTroubles,
    counts: ModelCounts,
    at_once: u64,
}

impl SampleModel {
    /// Starts the server at an address, for example `127.0.0.1:0`.
    ///
    /// # Errors
    /// If the address is taken.
    pub fn start_at(address: &str, troubles: ModelTroubles) -> io::Result<SampleModel> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = ModelState { troubles, ..ModelState::default() };
        let shared = Arc::new(ModelShared { state: Mutex::new(state) });
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("flow:sample-models".to_owned());
        thread.spawn(move || {
            for connection in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                let thread = std::thread::Builder::new().name("flow:sample-model".to_owned());
                // A connection that cannot be served is closed, and its caller tries again.
                let _ = thread.spawn(move || serving.serve(connection));
            }
        })?;
        Ok(SampleModel { address, shared })
    }

    /// The address of the server of this process, for addresses `sample:`. It is started at its first use, and takes about
    /// as long as a small model.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn of_process() -> io::Result<String> {
        static SERVER: OnceLock<Mutex<Option<SampleModel>>> = OnceLock::new();
        let mut server = SERVER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if server.is_none() {
            let troubles = ModelTroubles { delay_ms: 400, word_delay_ms: 40, ..ModelTroubles::default() };
            *server = Some(SampleModel::start_at("127.0.0.1:0", troubles)?);
        }
        Ok(server.as_ref().map(SampleModel::url).unwrap_or_default())
    }

    /// The address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The counts so far.
    pub fn counts(&self) -> ModelCounts {
        self.shared.lock().counts.clone()
    }

    /// Sets what goes wrong from now on.
    pub fn set_troubles(&self, troubles: ModelTroubles) {
        self.shared.lock().troubles = troubles;
    }
}

impl ModelShared {
    fn serve(&self, connection: TcpStream) {
        let Ok(mut to) = connection.try_clone() else { return };
        // A word is sent at once, so that nothing is gained by waiting for more.
        let _ = connection.set_nodelay(true);
        let mut from = BufReader::new(connection);
        while let Ok(Some(request)) = http::read(&mut from) {
            let ended = match request.path.as_str() {
                "/counts" => {
                    let counts = self.lock().counts.clone();
                    serve::json(&mut to, &counts)
                }
                "/troubles" => match serde_json::from_slice(&request.body) {
                    Ok(troubles) => {
                        self.lock().troubles = troubles;
                        serve::json(&mut to, &troubles)
                    }
                    Err(error) => serve::refusal(&mut to, 400, &error.to_string()),
                },
                "/v1/chat/completions" => self.complete(&mut to, &request),
                _ => serve::refusal(&mut to, 404, "there is nothing here"),
            };
            if ended.is_err() {
                return;
            }
        }
    }

    fn complete(&self, to: &mut TcpStream, request: &http::ServiceRequest) -> io::Result<()> {
        let Ok(question) = serde_json::from_slice::<serve::CompletionQuestion>(&request.body) else {
            return serve::refusal(to, 400, "this is no question");
        };
        let (number, troubles) = {
            let mut state = self.lock();
            state.counts.calls += 1;
            state.at_once += 1;
            state.counts.at_once_max = state.counts.at_once_max.max(state.at_once);
            (state.counts.calls, state.troubles)
        };
        let sent = serve::answer(to, &question, troubles.of(number));
        let mut state = self.lock();
        state.at_once -= 1;
        match &sent {
            Ok(true) => {
                state.counts.answered += 1;
                *state.counts.keys.entry(request.key.clone()).or_default() += 1;
            }
            Ok(false) | Err(_) => state.counts.troubled += 1,
        }
        drop(state);
        sent.map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, ModelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
