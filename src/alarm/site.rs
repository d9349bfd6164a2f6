//! `alarms` in a site's file.

use std::path::PathBuf;
use std::time::Duration;

use crate::calls::check_address;
use crate::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection};

/// Reads `alarms`.
pub struct AlarmSection;

inventory::submit! { BuiltInSection(&AlarmSection) }

/// The alarms of a site.
#[derive(Clone, Debug)]
pub struct AlarmSettings {
    pub rules: AlarmRules,
    /// The URL that each message is posted to.
    pub webhook: Option<String>,
    pub mail: Option<MailSettings>,
    /// A program with its arguments, which gets each message on its standard input.
    pub command: Vec<String>,
    /// The time for which a cause has been gone before its alarm is over.
    pub over_after: Duration,
}

/// The rules: what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmRules {
    /// A request is unanswered for longer.
    pub unanswered: Option<Duration>,
    /// A destination takes nothing for longer, and requests wait for it.
    pub destination_down: Option<Duration>,
    pub errors: Option<ErrorRule>,
    /// Fewer bytes are free on the disk of the state folder.
    pub free: Option<u64>,
}

/// Too many error responses among the answers of this hour and the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRule {
    /// The share from 0 to 1 above which there are too many.
    pub share: f64,
    /// The answers without which a share means nothing.
    pub answers_min: usize,
}

/// Mail through an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// `smtp://HOST:PORT`, `smtp+starttls://HOST:PORT` or `smtps://HOST:PORT`.
    pub server: String,
    pub from: String,
    pub to: Vec<String>,
    /// A file with `USER:PASSWORD` in its first line.
    pub authorization: Option<PathBuf>,
    /// Authorities of the site that may have signed the server's certificate, beside the public ones.
    pub authorities: Option<PathBuf>,
}

const KEYS: [&str; 8] =
    ["unanswered", "destination_down", "errors", "free", "over_after", "webhook", "mail", "command"];

const OVER_AFTER: Duration = Duration::from_secs(60);

const ANSWERS_MIN: usize = 10;

const ANSWERS_MAX: usize = 1_000_000;

impl SiteSection for AlarmSection {
    fn keys(&self) -> &'static [&'static str] {
        &["alarms"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        Box::new(reader.section("alarms", alarms).unwrap_or_default())
    }
}

impl SectionSettings for AlarmSettings {}

impl Default for AlarmSettings {
    fn default() -> AlarmSettings {
        let (rules, webhook, mail, command) = Default::default();
        AlarmSettings { rules, webhook, mail, command, over_after: OVER_AFTER }
    }
}

impl AlarmRules {
    /// Whether there is a rule that looks at the ledger.
    pub fn need_ledger(&self) -> bool {
        self.unanswered.is_some() || self.destination_down.is_some() || self.errors.is_some()
    }
}

impl AlarmSettings {
    /// Whether anybody is to be told of anything.
    pub fn is_wanted(&self) -> bool {
        self.rules != AlarmRules::default()
    }
}

fn alarms(reader: &mut SectionReader) -> AlarmSettings {
    reader.known("\"alarms\"", &KEYS);
    let rules = AlarmRules {
        unanswered: reader.duration("unanswered"),
        destination_down: reader.duration("destination_down"),
        errors: reader.section("errors", errors).flatten(),
        free: reader.bytes("free"),
    };
    let webhook = reader.value("webhook", "a URL", "for example https://alarms.example.org/flow", |text| {
        check_address(text).is_ok().then(|| text.to_owned())
    });
    let mail = reader.section("mail", mail).flatten();
    let command: Vec<String> = reader.texts("command").into_iter().map(|part| part.value).collect();
    let over_after = reader.duration("over_after").unwrap_or(OVER_AFTER);
    let settings = AlarmSettings { rules, webhook, mail, command, over_after };
    let tells = settings.webhook.is_some() || settings.mail.is_some() || !settings.command.is_empty();
    if settings.is_wanted() && !tells {
        reader.wrong("nobody is told", "add a webhook, a mail or a command");
    }
    settings
}

fn errors(reader: &mut SectionReader) -> Option<ErrorRule> {
    reader.known("\"errors\"", &["share", "answers"]);
    let hint = "for example 20 %";
    let share = reader.required("share", |reader| reader.value("share", "a share", hint, share));
    let answers_min = reader.count("answers", ANSWERS_MAX).unwrap_or(ANSWERS_MIN);
    Some(ErrorRule { share: share?, answers_min })
}

/// `20 %` as 0.2.
fn share(text: &str) -> Option<f64> {
    let percent = text.strip_suffix('%')?.trim().parse::<f64>().ok()?;
    (0.0..100.0).contains(&percent).then_some(percent / 100.0)
}

#[cfg(not(feature = "mail"))]
fn mail(reader: &mut SectionReader) -> Option<MailSettings> {
    reader.wrong("this flow was built without mail", "build it with the feature \"mail\"");
    None
}

#[cfg(feature = "mail")]
fn mail(reader: &mut SectionReader) -> Option<MailSettings> {
    reader.known("\"mail\"", &["server", "from", "to", "authorization"]);
    let hint = "smtp://HOST:PORT, smtp+starttls://HOST:PORT or smtps://HOST:PORT";
    let server = reader.required("server", |reader| {
        reader.value("server", "the URL of an SMTP server", hint, |text| {
            is_mail_server(text).then(|| text.to_owned())
        })
    });
    let address = |text: &str| text.parse::<lettre::Address>().is_ok().then(|| text.to_owned());
    let hint = "for example flow@example.org";
    let from = reader.required("from", |reader| reader.value("from", "a mail address", hint, address));
    let written = reader.texts("to");
    let to: Vec<String> =
        written.iter().filter_map(|to| reader.reads(to, "a mail address", hint, address)).collect();
    if written.is_empty() {
        reader.wrong("nobody gets the mail", "add a list \"to\"");
    }
    let authorization = reader.path("authorization");
    let is_plain = |server: &String| server.starts_with("smtp://") && !is_local(server);
    if authorization.is_some() && server.as_ref().is_some_and(is_plain) {
        reader.wrong(
            "the password would be sent without encryption",
            "use smtps:// or smtp+starttls://, or leave out the authorization",
        );
    }
    let authorities = reader.context().authorities.clone();
    Some(MailSettings { server: server?, from: from?, to, authorization, authorities })
}

/// Whether a text is the URL of a mail server: a scheme, a host, and a port that there is.
#[cfg(feature = "mail")]
fn is_mail_server(text: &str) -> bool {
    let Some((scheme, address)) = text.split_once("://") else { return false };
    let address = address.trim_end_matches('/');
    ["smtp", "smtp+starttls", "smtps"].contains(&scheme)
        && !address.contains(['/', '?', '#', '@'])
        && check_address(&format!("http://{address}")).is_ok()
}

/// Whether a server is on this machine.
#[cfg(feature = "mail")]
fn is_local(server: &str) -> bool {
    let (host, _) = server_address(server);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Host and port of the URL of a mail server; a port that is not given is the usual one of its scheme.
#[cfg(feature = "mail")]
pub fn server_address(server: &str) -> (&str, u16) {
    let (scheme, rest) = server.split_once("://").unwrap_or(("smtp", server));
    let rest = rest.trim_end_matches('/');
    let given = rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let usual = match scheme {
        "smtps" => 465,
        "smtp+starttls" => 587,
        _ => 25,
    };
    given.unwrap_or((rest, usual))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::Site;

    fn read(text: &str) -> Result<AlarmSettings, String> {
        let site = Site::parse("site.yaml", text, Path::new("/site"), &[&AlarmSection]);
        let site = site.map_err(|problems| problems.to_string())?;
        Ok(site.section::<AlarmSettings>().cloned().unwrap_or_default())
    }

    #[test]
    fn rules_and_receivers_are_read() {
        let text = "alarms:\n  unanswered: 30 min\n  errors: {share: 20 %, answers: 5}\n  free: 20 GiB\n  \
                    mail: {server: \"smtp://[::1]:25\", from: a@b.org, to: [c@d.org], authorization: mail.txt}\n";
        let settings = read(text).unwrap();
        assert_eq!(settings.rules.unanswered, Some(Duration::from_secs(1800)));
        assert_eq!(settings.rules.errors, Some(ErrorRule { share: 0.2, answers_min: 5 }));
        assert_eq!(settings.rules.free, Some(20 << 30));
        assert_eq!(settings.mail.unwrap().authorization, Some(PathBuf::from("/site/mail.txt")));
        assert!(!read("state: s\n").unwrap().is_wanted());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("alarms: {unanswered: 30 min}\n", "nobody is told"),
            ("alarms: {errors: {share: 20}, webhook: \"http://a\"}\n", "a share"),
            ("alarms: {free: 1 GiB, webhook: ftp}\n", "a URL"),
            ("alarms: {free: 1 GiB, webhook: \"https://a:x/flow\"}\n", "a URL"),
            (
                "alarms: {free: 1 GiB, mail: {server: \"smtp://m:x\", from: a@b.org, to: [a@b.org]}}\n",
                "an SMTP server",
            ),
            (
                "alarms: {free: 1 GiB, mail: {server: \"smtp://u:p@m\", from: a@b.org, to: [a@b.org]}}\n",
                "an SMTP server",
            ),
            (
                "alarms: {free: 1 GiB, mail: {server: \"smtp://m\", from: me, to: [a@b.org]}}\n",
                "a mail address",
            ),
            (
                "alarms: {free: 1 GiB, mail: {server: \"smtp://m\", from: a@b.org, to: [a@b.org], authorization: f}}\n",
                "without encryption",
            ),
            ("alarms: {fre: 1 GiB}\n", "did you mean \"free\"?"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.contains(expected), "{text}: {problems}");
        }
    }
}
