//! The page, as two people use it in a browser, with the server killed between two of their sentences.

use std::path::PathBuf;

use super::scene::ChatScene;
use crate::support::peers::tool;
use crate::support::scripts::Script;

/// With `FLOW_PICTURES=FOLDER` the pictures of the screen are kept there.
#[test]
fn two_people_talk_on_the_page_through_a_reload_and_a_kill() {
    if tool("/usr/bin/chromium").is_none() {
        return;
    }
    let mut scene = ChatScene::for_trial();
    let kept = std::env::var_os("FLOW_PICTURES").map_or_else(|| scene.place.path("pictures"), PathBuf::from);
    std::fs::create_dir_all(&kept).unwrap();
    let url = format!("http://{}/", scene.address());
    let arguments = [url.as_str(), kept.to_str().expect("Unicode")];
    let Some(mut people) = Script::start("playwright", include_str!("person.py"), &arguments) else { return };
    for word in ["kill", "start"] {
        assert_eq!(people.line(), word);
        match word {
            "kill" => assert!(scene.kill().was_killed()),
            _ => scene.start(),
        }
        people.say("yes");
    }
    assert_eq!(people.rest(), "done");
    scene.stop().assert_well();
}
