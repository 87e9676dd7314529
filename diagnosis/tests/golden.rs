//! The whole verdict of the ban, word for word: what a person reads when their address has been banned.

mod world;

use world::{Reply, WEB4, WEB6, World};

#[test]
fn the_ban_in_full() {
    let run = World::new()
        .connect(|t| match (t.web() && t.by("you"), t.v4()) {
            (true, true) => Reply::Icmp(3, 3, WEB4, None),
            (true, false) => Reply::Icmp(1, 4, WEB6, None),
            _ => Reply::Ok,
        })
        .run();
    insta::assert_snapshot!(serde_json::to_string_pretty(&run.verdict).unwrap());
}
