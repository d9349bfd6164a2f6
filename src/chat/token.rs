//! Signed tokens (JWT, RFC 7519), which say who a client is: `sub`, `role`, `conversations` and `exp`, and with `aud`
//! for whom they are.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::member_claims::MemberClaims;
use super::names::{ALL_CONVERSATIONS, NAME_BYTES_MAX, is_role, name_problem};

/// The key that tokens are verified with: a secret (HS256), or the public key of their issuer (EdDSA or RS256, PEM).
pub struct ChatKey {
    decoding: DecodingKey,
    algorithm: Algorithm,
    /// The audience that tokens have to name; without one, they name none.
    audience: Option<String>,
}

/// The key that tokens are signed with: a secret, or a private key in PEM.
pub struct SigningKey {
    encoding: EncodingKey,
    algorithm: Algorithm,
    /// The audience that tokens name.
    audience: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ChatKeyError {
    #[error("could not read the key in {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not make the key in {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("the key in {} cannot be used: {reason}", path.display())]
    Content { path: PathBuf, reason: String },
    #[error("could not sign the token: {0}")]
    Sign(String),
}

impl ChatKeyError {
    pub fn hint(&self) -> &'static str {
        "a key is one line of at least 32 printable ASCII characters (HS256), or a key in PEM (EdDSA or RS256): the \
         public one for the server, the private one for signing"
    }
}

/// The holder of a token, as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMember {
    pub user: Arc<str>,
    pub role: Arc<str>,
    pub conversations: MemberConversations,
    /// The end of the token, in seconds of Unix time.
    pub expires_s: u64,
}

/// The conversations of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberConversations {
    All,
    Named(BTreeSet<Arc<str>>),
}

impl MemberConversations {
    pub fn has(&self, conversation: &str) -> bool {
        match self {
            MemberConversations::All => true,
            MemberConversations::Named(names) => names.contains(conversation),
        }
    }
}

/// The shortest secret, in bytes (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// The random bytes of a key that is made here.
const MADE_BYTES: usize = 32;

const PEM_BEGIN: &[u8] = b"-----BEGIN";

/// The end of the label of each kind of private key.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// The beginnings of keys in one line: a JWK or a set of them, the forms of SSH, and the base64 of PEM without its first
/// and last line, as for example Keycloak shows it (a SEQUENCE of more than 255 bytes, and a key of EdDSA).
const OTHER_FORMS: [&[u8]; 5] = [b"{", b"ssh-", b"ecdsa-", b"MII", b"MCowBQYDK2Vw"];

const FILE_BYTES_MAX: u64 = 64 << 10;

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 32 << 10;

/// The most conversations in a token.
const CONVERSATIONS_MAX: usize = 1_000;

impl ChatKey {
    /// The name of the key that is made in the state folder.
    pub const FILE: &str = "chat.key";

    /// Reads the key of a file.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<ChatKey, ChatKeyError> {
        let bytes = read(path)?;
        let pem = match KeyContent::of(path, &bytes)? {
            KeyContent::Secret(secret) => {
                return Ok(ChatKey {
                    decoding: DecodingKey::from_secret(secret),
                    algorithm: Algorithm::HS256,
                    audience: None,
                });
            }
            KeyContent::Pem(pem) if has(pem, PRIVATE) => {
                return Err(unusable(path, "it is a private key, and the server needs the public one"));
            }
            KeyContent::Pem(pem) => pem,
        };
        let edwards = DecodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA));
        let key = edwards.or_else(|_| DecodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256)));
        let (decoding, algorithm) = key.map_err(|error| unusable(path, &error.to_string()))?;
        Ok(ChatKey { decoding, algorithm, audience: None })
    }

    /// The key for tokens that name an audience (RFC 7519, 4.1.3).
    #[must_use]
    pub fn for_audience(self, audience: Option<String>) -> ChatKey {
        ChatKey { audience, ..self }
    }

    /// Reads the key of a file, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub fn at(path: &Path) -> Result<ChatKey, ChatKeyError> {
        if !path.exists() {
            make(path).map_err(|source| ChatKeyError::Make { path: path.to_owned(), source })?;
        }
        ChatKey::read(path)
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// The reason, for the client.
    pub fn verify(&self, token: &str) -> Result<ChatMember, String> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(format!("the token has more than {TOKEN_BYTES_MAX} bytes"));
        }
        let mut validation = Validation::new(self.algorithm);
        validation.validate_nbf = true;
        validation.leeway = 0;
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["exp", "aud"]);
        }
        if has_critical_parameters(token) {
            return Err("the token has parameters (\"crit\") that this server does not know".to_owned());
        }
        decode_header(token)
            .map_err(|_| "the token is not a JWT that is signed in a known way".to_owned())?;
        let token = decode::<MemberClaims>(token, &self.decoding, &validation);
        let MemberClaims { sub, role, conversations, exp, .. } =
            token.map_err(|error| told(error.kind()))?.claims;
        if let Some(problem) = name_problem(&sub, NAME_BYTES_MAX) {
            return Err(format!("\"sub\" of the token is no name of a user: {problem}"));
        }
        if !is_role(&role) {
            return Err("\"role\" of the token is no role: small letters, digits and hyphens".to_owned());
        }
        let conversations = named(conversations)?;
        Ok(ChatMember { user: sub.into(), role: role.into(), conversations, expires_s: exp })
    }
}

impl SigningKey {
    /// Reads the key of a file.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<SigningKey, ChatKeyError> {
        let bytes = read(path)?;
        let pem = match KeyContent::of(path, &bytes)? {
            KeyContent::Secret(secret) => {
                let encoding = EncodingKey::from_secret(secret);
                return Ok(SigningKey { encoding, algorithm: Algorithm::HS256, audience: None });
            }
            KeyContent::Pem(pem) if !has(pem, PRIVATE) => {
                return Err(unusable(path, "it is a public key, and the private one signs"));
            }
            KeyContent::Pem(pem) => pem,
        };
        let edwards = EncodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA));
        let key = edwards.or_else(|_| EncodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256)));
        let (encoding, algorithm) = key.map_err(|error| unusable(path, &error.to_string()))?;
        Ok(SigningKey { encoding, algorithm, audience: None })
    }

    /// The key for tokens that name an audience.
    #[must_use]
    pub fn for_audience(self, audience: Option<String>) -> SigningKey {
        SigningKey { audience, ..self }
    }

    /// Signs a token that is valid from now for this time.
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn sign(
        &self,
        user: &str,
        role: &str,
        conversations: &[String],
        valid: Duration,
    ) -> Result<String, ChatKeyError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = MemberClaims {
            sub: user.to_owned(),
            role: role.to_owned(),
            conversations: conversations.to_vec(),
            exp: now.saturating_add(valid).as_secs(),
            aud: self.audience.clone(),
        };
        encode(&Header::new(self.algorithm), &claims, &self.encoding)
            .map_err(|error| ChatKeyError::Sign(error.to_string()))
    }
}

fn named(conversations: Vec<String>) -> Result<MemberConversations, String> {
    if conversations.iter().any(|name| name == ALL_CONVERSATIONS) {
        return Ok(MemberConversations::All);
    }
    if conversations.len() > CONVERSATIONS_MAX {
        return Err(format!("the token names more than {CONVERSATIONS_MAX} conversations"));
    }
    if let Some(problem) = conversations.iter().find_map(|name| name_problem(name, NAME_BYTES_MAX)) {
        return Err(format!("\"conversations\" of the token has what is no name: {problem}"));
    }
    Ok(MemberConversations::Named(conversations.into_iter().map(Arc::from).collect()))
}

/// Whether a token says that its reader has to know further parameters (RFC 7515, 4.1.11); none are known here.
fn has_critical_parameters(token: &str) -> bool {
    let head = token.split('.').next().and_then(|head| URL_SAFE_NO_PAD.decode(head).ok());
    let head = head.and_then(|head| serde_json::from_slice::<Value>(&head).ok());
    head.is_some_and(|head| head.get("crit").is_some())
}

fn told(kind: &ErrorKind) -> String {
    let text = match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidSignature => "the token was not signed with the key of this server",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "the token was signed in another way than the key of this server says"
        }
        ErrorKind::MissingRequiredClaim(claim) => return format!("the token lacks the claim \"{claim}\""),
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::Json(_) => {
            "the token lacks one of the claims \"sub\", \"role\" (texts), \"conversations\" (a list of texts) and \
             \"exp\" (a time), or one of them is something else"
        }
        _ => "the token is not a JWT",
    };
    text.to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, ChatKeyError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|source| ChatKeyError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// The content of a key file. A public key must never be taken for a secret: whoever has it could sign tokens.
enum KeyContent<'a> {
    Secret(&'a [u8]),
    /// A key in PEM, without what some programs write before it (RFC 7468, 5.2).
    Pem(&'a [u8]),
}

impl<'a> KeyContent<'a> {
    fn of(path: &Path, bytes: &'a [u8]) -> Result<KeyContent<'a>, ChatKeyError> {
        let begin = bytes.windows(PEM_BEGIN.len()).position(|window| window == PEM_BEGIN);
        if let Some(begin) = begin {
            return Ok(KeyContent::Pem(&bytes[begin..]));
        }
        let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        let problem = if secret.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
            "it is neither PEM nor one line of printable ASCII characters"
        } else if OTHER_FORMS.iter().any(|start| secret.trim_ascii_start().starts_with(start)) {
            "it is a key that is not in PEM, and no secret"
        } else if secret.len() < SECRET_BYTES_MIN {
            "it is shorter than 32 characters"
        } else {
            return Ok(KeyContent::Secret(secret));
        };
        Err(unusable(path, problem))
    }
}

fn has(pem: &[u8], label: &[u8]) -> bool {
    pem.windows(label.len()).any(|window| window == label)
}

fn unusable(path: &Path, reason: &str) -> ChatKeyError {
    ChatKeyError::Content { path: path.to_owned(), reason: reason.to_owned() }
}

/// Makes a secret that only its owner may read; whole or not there.
fn make(path: &Path) -> io::Result<()> {
    let mut bytes = [0; MADE_BYTES];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    writeln!(file, "{text}").and_then(|()| file.as_file().sync_all())?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        // Somebody else may have been faster.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn key_file(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn a_token_says_who_its_holder_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ChatKey::FILE);
        let key = ChatKey::at(&path).unwrap();
        let sign = |user: &str, role: &str, conversations: &[&str]| {
            let conversations: Vec<String> = conversations.iter().map(|name| (*name).to_owned()).collect();
            SigningKey::read(&path).unwrap().sign(user, role, &conversations, HOUR).unwrap()
        };
        let member = key.verify(&sign("ann", "patient", &["c1", "c2"])).unwrap();
        assert_eq!((&*member.user, &*member.role), ("ann", "patient"));
        assert!(member.conversations.has("c2") && !member.conversations.has("c3"));
        let all = key.verify(&sign("bo", "provider", &["*"])).unwrap();
        assert!(all.conversations.has("c3"));
        let refused = |token: &str| key.verify(token).unwrap_err();
        assert!(refused(&sign("a/b", "patient", &[])).contains("\"sub\""));
        assert!(refused(&sign("ann", "all", &[])).contains("\"role\""));
        assert!(refused(&sign("ann", "patient", &["a/b"])).contains("\"conversations\""));
    }

    #[test]
    fn a_forged_expired_or_unsigned_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ChatKey::FILE);
        let key = ChatKey::at(&path).unwrap();
        let other = key_file(&folder, "other", &"x".repeat(32));
        let forged = SigningKey::read(&other).unwrap().sign("ann", "patient", &[], HOUR).unwrap();
        assert!(key.verify(&forged).unwrap_err().contains("not signed with the key"));
        let claims = MemberClaims {
            sub: "ann".into(),
            role: "patient".into(),
            conversations: Vec::new(),
            exp: 1,
            aud: None,
        };
        let own = SigningKey::read(&path).unwrap();
        let old = encode(&Header::new(Algorithm::HS256), &claims, &own.encoding).unwrap();
        assert_eq!(key.verify(&old).unwrap_err(), "the token has expired");
        let good = own.sign("ann", "patient", &[], HOUR).unwrap();
        // {"alg":"none"}
        let payload = good.split('.').nth(1).unwrap();
        for token in ["", "a.b.c", &format!("eyJhbGciOiJub25lIn0.{payload}.")] {
            assert!(key.verify(token).is_err(), "{token}");
        }
        let another = encode(&Header::new(Algorithm::HS512), &claims, &own.encoding).unwrap();
        assert!(key.verify(&another).unwrap_err().contains("another way"));
        assert!(key.verify(&"x".repeat(TOKEN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_token_is_for_the_audience_of_the_server_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_file(&folder, "secret", &"x".repeat(32));
        let key =
            |audience: Option<&str>| ChatKey::read(&path).unwrap().for_audience(audience.map(str::to_owned));
        let token = |audience: Option<&str>| {
            let signing = SigningKey::read(&path).unwrap().for_audience(audience.map(str::to_owned));
            signing.sign("ann", "patient", &[], HOUR).unwrap()
        };
        for audience in [None, Some("flow")] {
            assert!(key(audience).verify(&token(audience)).is_ok());
        }
        let refused = |key: ChatKey, token: &str| key.verify(token).unwrap_err();
        assert_eq!(refused(key(None), &token(Some("flow"))), "the token is for another audience");
        assert_eq!(refused(key(Some("flow")), &token(Some("mail"))), "the token is for another audience");
        assert_eq!(refused(key(Some("flow")), &token(None)), "the token lacks the claim \"aud\"");
        let own = SigningKey::read(&path).unwrap();
        let several = serde_json::json!({
            "sub": "ann", "role": "patient", "conversations": [], "exp": 4_000_000_000_u64, "aud": ["mail", "flow"],
        });
        let several = encode(&Header::new(Algorithm::HS256), &several, &own.encoding).unwrap();
        assert!(key(Some("flow")).verify(&several).is_ok());
    }

    #[test]
    fn a_token_with_parameters_that_its_reader_has_to_know_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_file(&folder, "secret", &"x".repeat(32));
        let own = SigningKey::read(&path).unwrap();
        let good = own.sign("ann", "patient", &[], HOUR).unwrap();
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","crit":["exp"]}"#);
        let payload = good.split('.').nth(1).unwrap();
        let signed = format!("{head}.{payload}");
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &own.encoding, own.algorithm).unwrap();
        let refused = ChatKey::read(&path).unwrap().verify(&format!("{signed}.{signature}")).unwrap_err();
        assert!(refused.contains("\"crit\""), "{refused}");
    }

    #[test]
    fn a_short_secret_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let short = key_file(&folder, "short", "secret\n");
        assert!(ChatKey::read(&short).err().unwrap().to_string().contains("shorter than 32"));
        let pem = key_file(&folder, "pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
        assert!(ChatKey::read(&pem).is_err());
    }

    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAO5e5FvMe7TkUYN0zruySrBLcT5clBoVC/XyFVhnqkMU=\n-----END PUBLIC KEY-----\n";
    const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHTCjGHq/qG0SJ+fJKjqBUbSSSccktXmrajbRay4JojP\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_stands_before_a_public_key_does_not_make_it_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let own = SigningKey::read(&key_file(&folder, "own", PRIVATE_PEM)).unwrap();
        let token = own.sign("ann", "patient", &[], HOUR).unwrap();
        for before in ["", "\n", "Bag Attributes\n    friendlyName: issuer\n", "# the login\n", "\u{feff}"] {
            let text = format!("{before}{PUBLIC}");
            let key = ChatKey::read(&key_file(&folder, "public", &text)).unwrap();
            assert_eq!(&*key.verify(&token).unwrap().user, "ann", "{before:?}");
            // Whoever has the file signs with its text.
            let forged = SigningKey {
                encoding: EncodingKey::from_secret(text.trim_end_matches('\n').as_bytes()),
                algorithm: Algorithm::HS256,
                audience: None,
            };
            assert!(key.verify(&forged.sign("eve", "provider", &[], HOUR).unwrap()).is_err());
        }
    }

    #[test]
    fn a_key_in_another_form_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let base64 = PUBLIC.lines().nth(1).unwrap();
        let ssh = format!("ssh-ed25519 {base64}");
        let several = format!("{0}\n{0}\n", "x".repeat(32));
        let accents = "é".repeat(32);
        for text in ["{\"keys\": [{\"kty\": \"RSA\", \"n\": \"AQAB\"}]}", base64, &ssh, &several, &accents] {
            let path = key_file(&folder, "key", text);
            let reason = ChatKey::read(&path).err().unwrap().to_string();
            assert!(reason.contains("PEM"), "{reason}");
            assert!(SigningKey::read(&path).is_err());
        }
        let private = key_file(&folder, "private", PRIVATE_PEM);
        assert!(ChatKey::read(&private).err().unwrap().to_string().contains("needs the public one"));
        let public = key_file(&folder, "public", PUBLIC);
        assert!(SigningKey::read(&public).err().unwrap().to_string().contains("the private one signs"));
        for end in ["", "\n", "\r\n"] {
            let secret = "a secret of 32 characters, or more";
            let signing = SigningKey::read(&key_file(&folder, "other", &format!("{secret}{end}"))).unwrap();
            let key = ChatKey::read(&key_file(&folder, "secret", secret)).unwrap();
            assert!(key.verify(&signing.sign("ann", "patient", &[], HOUR).unwrap()).is_ok());
        }
    }
}
