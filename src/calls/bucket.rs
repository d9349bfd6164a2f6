//! Buckets of an S3-compatible service: files are put under keys that are free, read back, and listed.
//!
//! The crate `object_store` signs the requests and speaks the protocol. A key is looked for first; a small file is put
//! with `If-None-Match: *`, and the parts of a large one are completed with it, so that a service that knows the
//! condition never replaces an object. With one that does not, two processes that put the same key at the same moment
//! both succeed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, Error as ObjectError, MultipartId, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig,
};
use tokio::runtime::{Builder, Runtime};

use crate::step::{CallFault, CancelToken, Digest, Digester, Fault, FaultKind};

use super::bucket_place::{BucketKey, BucketPlace};
use super::object_transport::{LastAnswer, ObjectAnswer, ObjectExchange, ObjectTransport};

/// What ends a call.
#[derive(Clone, Copy, Debug)]
pub struct BucketLimits<'a> {
    pub end: Instant,
    pub token: &'a CancelToken,
}

/// A file to be put into a bucket.
#[derive(Clone, Copy, Debug)]
pub struct BucketFile<'a> {
    pub path: &'a Path,
    pub digest: Digest,
    /// A larger file is put in parts of this size.
    pub part_bytes: u64,
}

/// A place in a bucket, open for one call.
pub struct ObjectBucket<'a> {
    place: &'a BucketPlace,
    store: AmazonS3,
    exchange: Arc<ObjectExchange>,
    runtime: Runtime,
}

impl<'a> BucketLimits<'a> {
    /// The limits of a call that has so much time from now on.
    pub fn new(time: Duration, token: &'a CancelToken) -> BucketLimits<'a> {
        BucketLimits { end: Instant::now() + time, token }
    }
}

/// The variables of the environment that say where credentials are.
const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// The region where none is said: services other than AWS mostly take any.
const REGION: &str = "us-east-1";

/// The most parts of an object.
const PARTS_MAX: u64 = 10_000;

/// Tries of a request within a call, beside the first.
const RETRIES: usize = 3;

/// The time after which a request is not tried again.
const RETRY_TIME: Duration = Duration::from_secs(60);

/// The time for giving up an upload in parts.
const ABORT_TIME: Duration = Duration::from_secs(10);

impl<'a> ObjectBucket<'a> {
    /// Opens a place. Without a key, it is that of the environment.
    ///
    /// # Errors
    /// If there is no key, or the settings do not fit together.
    pub fn open(
        place: &'a BucketPlace,
        key: Option<&BucketKey>,
        limits: BucketLimits,
    ) -> Result<ObjectBucket<'a>, Fault> {
        let exchange = Arc::new(ObjectExchange::new(limits.end, limits.token));
        let mut builder = match key {
            Some(key) => {
                let builder = AmazonS3Builder::new().with_region(REGION);
                builder.with_access_key_id(&key.id).with_secret_access_key(&key.secret)
            }
            None if CREDENTIALS.iter().any(|name| std::env::var_os(name).is_some()) => {
                AmazonS3Builder::from_env()
            }
            None => {
                let reason = "no credentials: there is no $AWS_ACCESS_KEY_ID, and `credentials` is empty";
                return Err(Fault::new(reason, "Write in the dataflow file where the credentials are."));
            }
        };
        if !place.endpoint.is_empty() {
            builder = builder.with_endpoint(&place.endpoint);
        }
        if !place.region.is_empty() {
            builder = builder.with_region(&place.region);
        }
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        };
        let builder = builder
            .with_bucket_name(&place.bucket)
            .with_allow_http(place.endpoint.starts_with("http://"))
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIME })
            .with_http_connector(ObjectTransport(Arc::clone(&exchange)));
        let store = builder.build().map_err(|error| {
            Fault::new(format!("bad store: {error}"), "Correct the store in the dataflow file.")
        })?;
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| storage(&error))?;
        Ok(ObjectBucket { place, store, exchange, runtime })
    }

    /// Whether there is an object.
    ///
    /// # Errors
    /// If the service does not say.
    pub fn has(&self, name: &str) -> Result<bool, CallFault> {
        match self.run(self.store.head(&self.path(name)?)) {
            Ok(_) => Ok(true),
            Err(error) => self.absent(&error).map(|()| false),
        }
    }

    /// The digest and size of an object, which is read for it; `None` if there is none.
    ///
    /// # Errors
    /// If the service does not give it.
    pub fn digest_of(&self, name: &str) -> Result<Option<(Digest, u64)>, CallFault> {
        let path = self.path(name)?;
        let read = async {
            let mut pieces = self.store.get(&path).await?.into_stream();
            let (mut digester, mut bytes) = (Digester::default(), 0);
            while let Some(piece) = std::future::poll_fn(|context| pieces.as_mut().poll_next(context)).await {
                let piece = piece?;
                bytes += piece.len() as u64;
                digester.write_all(&piece).expect("a digester takes everything");
            }
            Ok((digester.digest(), bytes))
        };
        match self.run(read) {
            Ok(found) => Ok(Some(found)),
            Err(error) => self.absent(&error).map(|()| None),
        }
    }

    /// Puts a file under a name that is free; what has the name stays as it is.
    ///
    /// # Errors
    /// If the service does not take it, or the file has another digest than it should have. Nothing is left of it.
    pub fn put(&self, name: &str, file: BucketFile) -> Result<(), CallFault> {
        if self.has(name)? {
            return Ok(());
        }
        let mut source = File::open(file.path).map_err(|error| storage(&error))?;
        let bytes = source.metadata().map_err(|error| storage(&error))?.len();
        let path = self.path(name)?;
        if bytes > file.part_bytes {
            return self.put_parts(name, &path, &mut source, bytes, file);
        }
        let mut content = Vec::new();
        source.read_to_end(&mut content).map_err(|error| storage(&error))?;
        check_digest(file, Digest::of(&content))?;
        self.put_whole(&path, content.into())
    }

    fn put_whole(&self, path: &ObjectPath, content: Bytes) -> Result<(), CallFault> {
        let put = |mode: PutMode| self.store.put_opts(path, content.clone().into(), PutOptions::from(mode));
        match self.run(put(PutMode::Create)) {
            Ok(_) | Err(ObjectError::AlreadyExists { .. }) => Ok(()),
            // The service does not know the condition.
            Err(_) if self.last_code() == "NotImplemented" => {
                self.run(put(PutMode::Overwrite)).map(drop).map_err(|error| self.fault(&error))
            }
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn put_parts(
        &self,
        name: &str,
        path: &ObjectPath,
        source: &mut File,
        bytes: u64,
        file: BucketFile,
    ) -> Result<(), CallFault> {
        let upload = self.run(self.store.create_multipart(path)).map_err(|error| self.fault(&error))?;
        let part_bytes = file.part_bytes.max(bytes.div_ceil(PARTS_MAX));
        let sent = self.send_parts(path, &upload, source, part_bytes, file);
        let ended = sent.and_then(|parts| {
            if self.has(name)? {
                return Ok(PartsEnd::Exists);
            }
            match self.run(self.store.complete_multipart(path, &upload, parts)) {
                Ok(_) => Ok(PartsEnd::Completed),
                Err(_) if self.last_code() == "PreconditionFailed" => Ok(PartsEnd::Exists),
                Err(error) => Err(self.fault(&error)),
            }
        });
        if !matches!(ended, Ok(PartsEnd::Completed)) {
            self.exchange.prolong(ABORT_TIME);
            // An upload that was completed after all is not there any more. One that cannot be given up now is left
            // to the rules of the bucket.
            let _ = self.run(self.store.abort_multipart(path, &upload));
        }
        ended.map(drop)
    }

    /// Sends a file part by part, of which one is in memory.
    fn send_parts(
        &self,
        path: &ObjectPath,
        upload: &MultipartId,
        source: &mut File,
        part_bytes: u64,
        file: BucketFile,
    ) -> Result<Vec<PartId>, CallFault> {
        let (mut parts, mut digester) = (Vec::new(), Digester::default());
        loop {
            let mut part = Vec::new();
            (&*source).take(part_bytes).read_to_end(&mut part).map_err(|error| storage(&error))?;
            if part.is_empty() {
                break;
            }
            digester.write_all(&part).expect("a digester takes everything");
            let sent = self.run(self.store.put_part(path, upload, parts.len(), part.into()));
            parts.push(sent.map_err(|error| self.fault(&error))?);
        }
        check_digest(file, digester.digest())?;
        Ok(parts)
    }

    /// Calls `each` with the names of all objects below the prefix, which are listed page by page. Objects whose names have a slash are left out.
    ///
    /// # Errors
    /// If the service does not list them, and that of `each`.
    pub fn list(&self, each: &mut dyn FnMut(&str) -> Result<(), Fault>) -> Result<(), CallFault> {
        let prefix = ObjectPath::parse(&self.place.prefix).map_err(|error| self.no_key(&error))?;
        let mut pages = self.store.list((!prefix.is_root()).then_some(&prefix));
        let listed = async {
            while let Some(object) = std::future::poll_fn(|context| pages.as_mut().poll_next(context)).await {
                let key = object?.location;
                if key.parent().as_ref() == Some(&prefix) {
                    let wanted = key.filename().into_iter().try_for_each(&mut *each);
                    if wanted.is_err() {
                        return Ok(wanted);
                    }
                }
            }
            Ok(Ok(()))
        };
        Ok(self.run(listed).map_err(|error| self.fault(&error))??)
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, ObjectError>>) -> Result<T, ObjectError> {
        self.runtime.block_on(work)
    }

    fn path(&self, name: &str) -> Result<ObjectPath, Fault> {
        let prefix = &self.place.prefix;
        let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        ObjectPath::parse(key).map_err(|error| self.no_key(&error))
    }

    fn no_key(&self, error: &object_store::path::Error) -> Fault {
        Fault::new(format!("bad key: {error}"), "Correct the barcode, or the store in the dataflow file.")
    }

    /// The error of what is not there, otherwise a fault. An answer to HEAD does not say whether there is a bucket.
    fn absent(&self, error: &ObjectError) -> Result<(), CallFault> {
        match error {
            ObjectError::NotFound { .. } if self.last_code() != NO_BUCKET => Ok(()),
            error => Err(self.fault(error)),
        }
    }

    fn last_code(&self) -> String {
        match self.exchange.last() {
            LastAnswer::Answered(answer) => answer.code,
            LastAnswer::Unasked | LastAnswer::Broken(_) => String::new(),
        }
    }

    fn fault(&self, error: &ObjectError) -> CallFault {
        let service = self.place.service();
        if self.exchange.is_cancelled() {
            return Fault::cancelled().into();
        }
        if self.exchange.is_over() {
            let reason = format!("no answer in time: {service} took too long");
            let remedy = "Give the step a longer `timeout`, or see to the service and the network.";
            return Fault::of(FaultKind::TimedOut, reason, remedy).into();
        }
        match self.exchange.last() {
            LastAnswer::Answered(answer) if answer.status >= 300 || !answer.code.is_empty() => {
                self.refused(answer)
            }
            LastAnswer::Broken(why) => {
                let remedy = "See to the service and the network; the token waits and is tried again.";
                Fault::transient(format!("no answer: {service}: {why}"), remedy).into()
            }
            LastAnswer::Answered(_) | LastAnswer::Unasked => {
                let reason = format!("not understood: {service}: {error}");
                Fault::new(reason, SETTINGS).into()
            }
        }
    }

    fn refused(&self, answer: ObjectAnswer) -> CallFault {
        let (service, bucket) = (self.place.service(), &self.place.bucket);
        let ObjectAnswer { status, code, retry_after } = answer;
        let said =
            if code.is_empty() { format!("status {status}") } else { format!("status {status}, {code}") };
        match (status, code.as_str()) {
            (408 | 409 | 425 | 429 | 500 | 502..=599, _)
            | (_, "SlowDown" | "RequestTimeout" | "InternalError") => {
                let remedy = "See to the service; the token waits and is tried again.";
                CallFault::busy(Fault::transient(format!("{said}: {service} is busy"), remedy), retry_after)
            }
            (401 | 403, _) => {
                let reason =
                    format!("no access: {service} lets nobody with these credentials into {bucket} ({said})");
                let remedy = "See to `credentials` in the dataflow file, and to what they may do with the bucket: \
                    list it, get, put and abort uploads.";
                Fault::new(reason, remedy).into()
            }
            (_, NO_BUCKET) => {
                let reason = format!("no bucket: {service} has no bucket {bucket}");
                Fault::new(reason, "Make the bucket, or correct `store` in the dataflow file.").into()
            }
            _ => Fault::new(format!("refused: {service}, bucket {bucket}: {said}"), SETTINGS).into(),
        }
    }
}

/// The code of an answer about a bucket that there is not.
const NO_BUCKET: &str = "NoSuchBucket";

const SETTINGS: &str = "See to `store`, `endpoint` and `region` in the dataflow file.";

/// How an upload in parts ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartsEnd {
    Completed,
    /// Another process was faster.
    Exists,
}

fn check_digest(file: BucketFile, digest: Digest) -> Result<(), Fault> {
    if digest == file.digest {
        return Ok(());
    }
    let reason = format!("wrong digest: {} is {digest}, not {}", file.path.display(), file.digest);
    Err(Fault::new(reason, "Put the token back into the stage that makes it."))
}

fn storage(error: &io::Error) -> Fault {
    let remedy = "See to the disk; the token waits and is tried again.";
    Fault::of(FaultKind::Storage, format!("disk: {error}"), remedy)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    fn key() -> BucketKey {
        BucketKey::read(b"reader:open:sesame").unwrap()
    }

    fn place(endpoint: &str) -> BucketPlace {
        BucketPlace::read("s3://library/shelf/", endpoint, "").unwrap()
    }

    fn limits(token: &CancelToken, time: Duration) -> BucketLimits<'_> {
        BucketLimits::new(time, token)
    }

    #[test]
    fn a_service_that_is_down_or_silent_is_tried_again_later() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (place, token) =
            (place(&format!("http://{}", listener.local_addr().unwrap())), CancelToken::default());
        let kind = |time: Duration| {
            let bucket = ObjectBucket::open(&place, Some(&key()), limits(&token, time)).unwrap();
            bucket.has("a").unwrap_err().fault.kind
        };
        assert_eq!(kind(Duration::from_millis(50)), FaultKind::TimedOut);
        drop(listener);
        assert_eq!(kind(Duration::from_secs(60)), FaultKind::Transient);
        token.cancel();
        assert_eq!(kind(Duration::from_secs(60)), FaultKind::Cancelled);
    }

    /// Answers each request as the function says: its first line gives status and body.
    fn answering(answer: impl Fn(&str, &str) -> (u16, &'static str) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let lines = reader.by_ref().lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let Some(first) = head.first() else { continue };
                let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(0, |length| length.parse().unwrap());
                io::copy(&mut reader.take(length), &mut io::sink()).unwrap();
                let (status, body) = answer(first, &head.join("\n"));
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nETag: \"1\"\r\nRetry-After: 7\r\nConnection: close\r\n\r\n{body}"
                );
                // It may not listen any more.
                let _ = stream.write_all(text.as_bytes());
            }
        });
        url
    }

    #[test]
    fn a_service_that_does_not_know_the_condition_is_given_the_file_without_it() {
        let url = answering(|first, head| match first.split(' ').next() {
            Some("HEAD") => (404, ""),
            _ if head.contains("if-none-match") => (501, "<Error><Code>NotImplemented</Code></Error>"),
            _ => (200, ""),
        });
        let (place, token, folder) = (place(&url), CancelToken::default(), tempfile::tempdir().unwrap());
        let path = folder.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let bucket =
            ObjectBucket::open(&place, Some(&key()), limits(&token, Duration::from_secs(60))).unwrap();
        let file = |digest| BucketFile { path: &path, digest, part_bytes: 100 };
        bucket.put("a", file(Digest::of(b"content"))).unwrap();
        let fault = bucket.put("a", file(Digest::of(b"other"))).unwrap_err().fault;
        assert!(fault.reason.starts_with("wrong digest: "), "{fault}");
    }

    #[test]
    fn a_busy_service_says_when_to_come_again() {
        let url = answering(|_, _| (429, "<Error><Code>TooManyRequests</Code></Error>"));
        let (place, token) = (place(&url), CancelToken::default());
        let bucket =
            ObjectBucket::open(&place, Some(&key()), limits(&token, Duration::from_secs(60))).unwrap();
        let fault = bucket.digest_of("a").unwrap_err();
        assert_eq!(
            (fault.fault.kind, fault.retry_after),
            (FaultKind::Transient, Some(Duration::from_secs(7)))
        );
    }
}
