//! Three real nodes on one PostgreSQL, replaced under load: what `scripts/three-nodes` does, with a small load.

use std::process::Command;

use example_support::Place;

#[test]
fn three_nodes_are_replaced_under_load_and_nothing_is_lost() {
    let Some(place) = Place::postgres() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/three-nodes");
    let output = Command::new("python3")
        .args([script, "--seconds", "12", "--rate", "150"])
        .args([
            "--binary",
            env!("CARGO_BIN_EXE_tokenhouse"),
            "--database",
            place.url(),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    println!("{said}");
    for line in [
        "nothing was lost, nothing failed",
        "failed after retries   0",
        "keys rotated meanwhile   10 times",
        "sessions alive at the end   96 of 96",
    ] {
        assert!(said.contains(line), "{said}");
    }
}
