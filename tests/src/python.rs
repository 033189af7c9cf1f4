//! Python with packages of its own, for claims that other people's code must confirm.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Python with the packages of a file of requirements.
pub struct Python {
    packages: PathBuf,
}

impl Python {
    /// Returns Python with the official `onnx` package, as [`Python::with`] installs it.
    ///
    /// # Panics
    /// When it cannot be installed.
    pub fn install(folder: &Path) -> Self {
        Self::with("requirements", folder)
    }

    /// Installs the packages of `python/{requirements}.txt` below a folder with pip, unless an
    /// earlier call has.
    ///
    /// Several processes may do so at once: the first installs, the others wait for it.
    ///
    /// # Panics
    /// When they cannot be installed.
    pub fn with(requirements: &str, folder: &Path) -> Self {
        let packages = folder.join("python").join(requirements);
        let installed = packages.join("installed.txt");
        fs::create_dir_all(folder.join("python")).expect("the folder can be written");
        // Held until the end of the function.
        let lock = File::create(packages.with_extension("lock")).expect("the folder can be written");
        lock.lock().expect("the file system has locks");
        let requirements = scripts().join(requirements).with_extension("txt");
        // Packages are built for one version of Python.
        let listed = fs::read_to_string(&requirements).expect("the requirements are part of the tests");
        let wanted = format!("{}{listed}", String::from_utf8_lossy(&python(&["--version"]).stdout));
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
            return Self { packages };
        }
        if packages.exists() {
            fs::remove_dir_all(&packages).expect("the folder is ours under the lock");
        }
        let requirements = requirements.to_str().expect("the tests' folder has a Unicode name");
        let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"];
        let from = ["--only-binary=:all:", "--require-hashes", "--requirement", requirements, "--target"];
        let target = [packages.to_str().expect("the target folder's name is Unicode")];
        let output = python(&[&pip[..], &from, &target].concat());
        assert!(output.status.success(), "pip: {}", String::from_utf8_lossy(&output.stderr));
        fs::write(installed, wanted).expect("the folder is ours under the lock");
        Self { packages }
    }

    /// Runs a script of the folder `python` on files.
    pub fn run(&self, script: &str, files: &[PathBuf]) -> Output {
        let script = scripts().join(script);
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &self.packages).arg("-B").arg(script).args(files);
        command.output().expect("Python has just installed its packages")
    }
}

/// Returns the folder of the scripts and the requirements.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

fn python(arguments: &[&str]) -> Output {
    Command::new("python3").args(arguments).output().unwrap_or_else(|error| panic!("cannot start `python3`: {error}"))
}
