//! A whole house out of one file.

use std::path::Path;

use tokenhouse::moving;
use tokenhouse::store::{Store, StoreOptions};

use crate::commands::progress::Steps;
use crate::commands::{load, master_key, runtime, sqlite_file};
use crate::config::Places;
use crate::failure::Failure;

pub(super) fn run(file: &Path, plain: bool, dry_run: bool, places: &Places) -> Result<(), Failure> {
    let config = load(places)?;
    let url = config.settings.database_url.expose();
    let master = master_key(&config)?;
    let mut steps = Steps::new("checking", Some(0));
    let contents = moving::check(file, &master, |progress| {
        steps.to(progress.done, Some(progress.total), progress.table);
    });
    drop(steps);
    let contents = contents?;
    // Whoever can write where an export lies could put their own lines in its place: the seal must not come off by itself.
    if !(contents.sealed || plain) {
        return Err(Failure::usage(
            "the file is not sealed: anybody may have written or changed it. If it is from `tokenhouse export --plain` and \
             was never out of your hands, say --plain",
        ));
    }
    let sealed = if contents.sealed { "sealed" } else { "not sealed" };
    if dry_run {
        println!(
            "made at {} by version {}, {sealed}",
            contents.made_at,
            contents.made_by.escape_debug()
        );
        for (table, rows) in &contents.tables {
            println!("{table:<24}{rows:>12}");
        }
        // Opening a file that is not there would make it.
        let left = if sqlite_file(url).is_some_and(|file| !file.exists()) {
            contents.rows()
        } else {
            runtime()?.block_on(async {
                let store = Store::open(url, StoreOptions::default()).await?;
                let left = moving::left_to_import(&store, &contents).await;
                store.close().await;
                Ok::<_, Failure>(left?)
            })?
        };
        println!("{left} rows would be imported; nothing was");
        return Ok(());
    }
    runtime()?.block_on(async {
        let store = Store::open(url, StoreOptions::default()).await?;
        let mut steps = Steps::new("importing", Some(0));
        let imported = moving::import(&store, file, &master, &contents, |progress| {
            steps.to(progress.done, Some(progress.total), progress.table);
        })
        .await;
        drop(steps);
        store.close().await;
        println!("{} rows imported from a file that is {sealed}", imported?);
        Ok(())
    })
}
