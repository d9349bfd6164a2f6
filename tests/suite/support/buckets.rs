//! Two servers that speak S3, each with a bucket of its own: s3s-fs in this process, behind a front that can do other
//! things with a request, and moto.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::scripts::Script;

/// The bucket of each server.
pub const BUCKET: &str = "library";

/// The key that opens it, and its secret.
pub const KEY: &str = "reader:open/sesame+42";

/// A server with a bucket.
pub trait BucketServer {
    fn url(&self) -> &str;

    /// The objects by their keys.
    fn objects(&mut self) -> BTreeMap<String, Vec<u8>>;

    /// Uploads in parts that are neither completed nor given up.
    fn open_uploads(&mut self) -> usize;

    fn put(&mut self, key: &str, content: &str);
}

/// What the front does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontDeed {
    Pass,
    /// It answers with this status and error code itself.
    Refuse(u16, &'static str),
    /// It passes the request on and never answers.
    Swallow,
    /// It never answers.
    Hold,
}

type FrontRule = Box<dyn FnMut(&str) -> FrontDeed + Send>;

/// A server of s3s-fs.
pub struct S3sServer {
    url: String,
    root: tempfile::TempDir,
    front: Arc<BucketFront>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct BucketFront {
    service: S3Service,
    rule: Mutex<FrontRule>,
    /// Each request: method, path and query.
    asked: Mutex<Vec<String>>,
}

impl S3sServer {
    pub fn start() -> S3sServer {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        let (key, secret) = KEY.split_once(':').unwrap();
        builder.set_auth(SimpleAuth::from_single(key, secret));
        let rule: FrontRule = Box::new(|_| FrontDeed::Pass);
        let (rule, asked) = (Mutex::new(rule), Mutex::default());
        let front = Arc::new(BucketFront { service: builder.build(), rule, asked });
        let (end, ended) = oneshot::channel();
        let (bound, port) = mpsc::channel();
        let served = Arc::clone(&front);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! { () = serve(&listener, &served) => {}, _ = ended => {} }
            });
        });
        let url = format!("http://{}", port.recv().unwrap());
        S3sServer { url, root, front, end: Some(end), thread: Some(thread) }
    }

    /// What the front does from now on with each request: its method, path and query.
    pub fn front(&self, rule: impl FnMut(&str) -> FrontDeed + Send + 'static) {
        *self.front.rule.lock().unwrap() = Box::new(rule);
    }

    /// The requests so far that begin so.
    pub fn asked(&self, begin: &str) -> usize {
        self.front.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(begin)).count()
    }
}

async fn serve(listener: &TcpListener, front: &Arc<BucketFront>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let front = Arc::clone(front);
        let service = service_fn(move |request| {
            let front = Arc::clone(&front);
            async move { front.answer(request).await }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A client that is killed breaks it off.
        tokio::spawn(async { _ = connection.await });
    }
}

impl BucketFront {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
        let asked = format!("{} {}", request.method(), request.uri());
        self.asked.lock().unwrap().push(asked.clone());
        let deed = (self.rule.lock().unwrap())(&asked);
        match deed {
            FrontDeed::Pass => self.service.call(request.map(Body::from)).await,
            FrontDeed::Refuse(status, code) => {
                let text = format!("<Error><Code>{code}</Code><Message>as the test says</Message></Error>");
                Ok(Response::builder().status(status).body(Body::from(text)).unwrap())
            }
            FrontDeed::Swallow => {
                self.service.call(request.map(Body::from)).await?;
                std::future::pending().await
            }
            FrontDeed::Hold => std::future::pending().await,
        }
    }
}

impl BucketServer for S3sServer {
    fn url(&self) -> &str {
        &self.url
    }

    fn objects(&mut self) -> BTreeMap<String, Vec<u8>> {
        files(&self.root.path().join(BUCKET))
    }

    fn open_uploads(&mut self) -> usize {
        let files = fs::read_dir(self.root.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".upload")).count()
    }

    fn put(&mut self, key: &str, content: &str) {
        let path = self.root.path().join(BUCKET).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

impl Drop for S3sServer {
    fn drop(&mut self) {
        self.end.take().into_iter().for_each(|end| _ = end.send(()));
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// A server of moto, in Python.
pub struct MotoServer {
    url: String,
    script: Script,
}

const MOTO: &str = r#"
import logging, os, sys
import boto3
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").disabled = True
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
url = "http://%s:%d" % server.get_host_and_port()
bucket = sys.argv[1]
client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
client.create_bucket(Bucket=bucket)
print("at", url)
for line in sys.stdin:
    what, *rest = line.split()
    if what == "put":
        client.put_object(Bucket=bucket, Key=rest[0], Body=rest[1].encode())
    elif what == "uploads":
        print(len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])))
        continue
    elif what == "objects":
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", []):
                path = os.path.join(rest[0], found["Key"])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                client.download_file(bucket, found["Key"], path)
    print("done")
"#;

impl MotoServer {
    /// Prints that the test skips where Python does not have it.
    pub fn start() -> Option<MotoServer> {
        let mut script = Script::start("boto3, flask, moto.server", MOTO, &[BUCKET])?;
        let url = loop {
            if let Some(url) = script.line().strip_prefix("at ") {
                break url.to_owned();
            }
        };
        Some(MotoServer { url, script })
    }

    fn done(&mut self, command: &str) {
        self.script.say(command);
        assert_eq!(self.script.line(), "done", "{command}");
    }
}

impl BucketServer for MotoServer {
    fn url(&self) -> &str {
        &self.url
    }

    fn objects(&mut self) -> BTreeMap<String, Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        self.done(&format!("objects {}", folder.path().display()));
        files(folder.path())
    }

    fn open_uploads(&mut self) -> usize {
        self.script.say("uploads");
        self.script.line().parse().unwrap()
    }

    fn put(&mut self, key: &str, content: &str) {
        self.done(&format!("put {key} {content}"));
    }
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(key, fs::read(&path).unwrap());
            }
        }
    }
    files
}
