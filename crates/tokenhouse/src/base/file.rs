//! Files that others rely on: only their owner may read them, and they appear whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::entropy::Entropy;

/// A file that is being written beside its place, under a name of its own. It takes its place when it is
/// [finished](NewFile::finish); dropped before, it is gone. What a killed program leaves is named `….new`.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    beside: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file at `path`, of mode 0600.
    ///
    /// # Errors
    /// When there is something at `path` already, or nothing can be written there.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(there_already(path));
        }
        let chance = Entropy::system().bytes::<8>().map_err(io::Error::other)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.new", HEXLOWER.encode(&chance)));
        let beside = PathBuf::from(beside);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(&beside)
            .map_err(|error| told(path, "created", &error))?;
        Ok(Self {
            file,
            beside,
            path: path.to_owned(),
        })
    }

    /// Where it is being written.
    #[must_use]
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Brings it to the disk and to its place, unless somebody was faster.
    ///
    /// # Errors
    /// When the disk is full, or something is at the place.
    pub fn finish(self) -> io::Result<()> {
        let wrong = |error| told(&self.path, "written", &error);
        self.file.sync_all().map_err(wrong)?;
        match std::fs::hard_link(&self.beside, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(there_already(&self.path)),
            // There are file systems without links.
            Err(_) => std::fs::rename(&self.beside, &self.path).map_err(wrong)?,
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Without this the name itself may be gone after a power failure.
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(wrong)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file
            .write(bytes)
            .map_err(|error| told(&self.path, "written", &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is none; if it stays, it does no harm.
        let _ = std::fs::remove_file(&self.beside);
    }
}

fn there_already(path: &Path) -> io::Error {
    let text = format!("{} is there already: choose another name", path.display());
    io::Error::new(ErrorKind::AlreadyExists, text)
}

fn told(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("{} cannot be {what}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_there_whole_or_not_at_all_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let count = || std::fs::read_dir(folder.path()).unwrap().count();
        let path = folder.path().join("a");
        let mut given_up = NewFile::create(&path).unwrap();
        given_up.write_all(b"half").unwrap();
        assert!(!path.exists() && count() == 1);
        drop(given_up);
        assert_eq!(count(), 0);

        let (mut first, second) = (NewFile::create(&path).unwrap(), NewFile::create(&path).unwrap());
        first.write_all(b"whole").unwrap();
        first.finish().unwrap();
        assert_eq!(second.finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            NewFile::create(&path).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(
            (std::fs::read(&path).unwrap().as_slice(), count()),
            (b"whole".as_slice(), 1)
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
