//! The page for trying a chat in a browser: one file without a build step.

/// The page, which loads nothing else and talks to `/ws` of the server that it came from.
pub fn page_html() -> &'static str {
    include_str!("page/chat.html")
}
