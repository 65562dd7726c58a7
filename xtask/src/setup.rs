//! Installs what building and testing need beside the Rust toolchain, where it is missing.
//!
//! System packages come from apt where there is apt; elsewhere the missing tools are named with the way to get them.
//! Python is used for two things only: it carries a recent CMake (LightGBM's build wants 3.28), and the tests talk to
//! our endpoint with clients that we did not write.

use std::{
    env, fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{must, on_path, output_of, succeeds},
    dirs::{Dirs, program_in},
};

/// What the tools are wanted for; later ones include earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Compiling.
    Build,
    /// Compiling, and running all tests.
    Test,
}

/// A thing of the system's that we cannot bring ourselves.
struct SystemTool {
    /// What a person calls it.
    name: &'static str,
    /// Why it is wanted.
    why: &'static str,
    purpose: Purpose,
    /// Debian's package.
    apt: &'static str,
    /// How to get it on Fedora, macOS and Windows.
    elsewhere: &'static str,
    /// Whether it is here, asked where no package system can be asked.
    found: fn() -> bool,
    /// A missing one ends set-up; without an optional one some tests are left out, saying so.
    required: bool,
}

const SYSTEM_TOOLS: &[SystemTool] = &[
    SystemTool {
        name: "a C++ compiler",
        why: "LightGBM and SQLite are built from source",
        purpose: Purpose::Build,
        apt: "g++",
        elsewhere: "dnf install gcc-c++ | xcode-select --install | Visual Studio Build Tools with C++",
        found: || cfg!(windows) || ["c++", "g++", "clang++"].iter().any(|name| on_path(name).is_some()),
        required: true,
    },
    SystemTool {
        name: "make",
        why: "LightGBM's build",
        purpose: Purpose::Build,
        apt: "make",
        elsewhere: "dnf install make | xcode-select --install | not needed on Windows",
        found: || cfg!(windows) || on_path("make").is_some(),
        required: true,
    },
    SystemTool {
        name: "libclang",
        why: "bindings to LightGBM are made from its headers",
        purpose: Purpose::Build,
        apt: "libclang-dev",
        elsewhere: "dnf install clang-devel | xcode-select --install | winget install LLVM.LLVM",
        found: || env::var_os("LIBCLANG_PATH").is_some() || on_path("clang").is_some(),
        required: true,
    },
    SystemTool {
        name: "Python 3 with venv",
        why: "it carries a recent CMake, and the tests use Python clients",
        purpose: Purpose::Build,
        apt: "python3-venv",
        elsewhere: "dnf install python3 | brew install python | winget install Python.Python.3.13",
        found: || python().is_some(),
        required: true,
    },
    SystemTool {
        name: "WebKitGTK",
        why: "the window's web view",
        purpose: Purpose::Build,
        apt: "libwebkit2gtk-4.1-dev",
        elsewhere: "dnf install webkit2gtk4.1-devel | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || has_library("webkit2gtk-4.1"),
        required: true,
    },
    SystemTool {
        name: "GTK 3",
        why: "the window",
        purpose: Purpose::Build,
        apt: "libgtk-3-dev",
        elsewhere: "dnf install gtk3-devel | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || has_library("gtk+-3.0"),
        required: true,
    },
    SystemTool {
        name: "libsoup 3",
        why: "the window's web view",
        purpose: Purpose::Build,
        apt: "libsoup-3.0-dev",
        elsewhere: "dnf install libsoup3-devel | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || has_library("libsoup-3.0"),
        required: true,
    },
    SystemTool {
        name: "librsvg",
        why: "the window's icons",
        purpose: Purpose::Build,
        apt: "librsvg2-dev",
        elsewhere: "dnf install librsvg2-devel | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || has_library("librsvg-2.0"),
        required: true,
    },
    SystemTool {
        name: "pkg-config",
        why: "finds the libraries of the window",
        purpose: Purpose::Build,
        apt: "pkg-config",
        elsewhere: "dnf install pkgconf-pkg-config | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || on_path("pkg-config").is_some(),
        required: true,
    },
    SystemTool {
        name: "a screen in memory",
        why: "the window is tested without a screen",
        purpose: Purpose::Test,
        apt: "xvfb",
        elsewhere: "dnf install xorg-x11-server-Xvfb | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || on_path("Xvfb").is_some(),
        required: false,
    },
    SystemTool {
        name: "WebKitGTK's driver",
        why: "tests drive the real window",
        purpose: Purpose::Test,
        apt: "webkit2gtk-driver",
        elsewhere: "dnf install webkit2gtk4.1 | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || on_path("WebKitWebDriver").is_some(),
        required: false,
    },
    SystemTool {
        name: "Mesa's software OpenGL",
        why: "the window is tested without a graphics card",
        purpose: Purpose::Test,
        apt: "libgl1-mesa-dri",
        elsewhere: "dnf install mesa-dri-drivers | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || lavapipe().is_some(),
        required: false,
    },
    SystemTool {
        name: "Chromium",
        why: "the page is tested in a browser",
        purpose: Purpose::Test,
        apt: "chromium",
        elsewhere: "dnf install chromium | brew install chromium | winget install Google.Chrome",
        found: || on_path("chromium").is_some() || on_path("google-chrome").is_some(),
        required: false,
    },
    SystemTool {
        name: "Chromium's driver",
        why: "the page is tested in a browser",
        purpose: Purpose::Test,
        apt: "chromium-driver",
        elsewhere: "dnf install chromedriver | brew install chromedriver | npm install -g chromedriver",
        found: || on_path("chromedriver").is_some(),
        required: false,
    },
    SystemTool {
        name: "a container registry",
        why: "images are pushed to it and fetched again",
        purpose: Purpose::Test,
        apt: "docker-registry",
        elsewhere: "dnf install docker-distribution | brew install docker-distribution | not on Windows",
        found: || on_path("docker-registry").is_some() || on_path("registry").is_some(),
        required: false,
    },
    SystemTool {
        name: "a container runtime",
        why: "images are run",
        purpose: Purpose::Test,
        apt: "crun",
        elsewhere: "dnf install crun | on Linux only",
        found: || !cfg!(target_os = "linux") || on_path("crun").is_some(),
        required: false,
    },
    SystemTool {
        name: "the Vulkan loader",
        why: "training on a GPU is tested on a software device",
        purpose: Purpose::Test,
        apt: "libvulkan1",
        elsewhere: "dnf install vulkan-loader | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || lavapipe().is_some(),
        required: false,
    },
    SystemTool {
        name: "Mesa's software Vulkan device",
        why: "training on a GPU is tested on a software device",
        purpose: Purpose::Test,
        apt: "mesa-vulkan-drivers",
        elsewhere: "dnf install mesa-vulkan-drivers | not needed on macOS and Windows",
        found: || !cfg!(target_os = "linux") || lavapipe().is_some(),
        required: false,
    },
];

/// Debian's compiler for WebAssembly with the standard library's source: installed only where rustup cannot bring the
/// target.
const DEBIAN_WASM: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Python packages for building: exactly these, so that the same CMake builds everywhere.
const PYTHON_BUILD: &[&str] = &["cmake==4.4.4"];

/// Python packages for tests: NVIDIA Triton's client for the Open Inference Protocol and the arrays that it takes; ONNX'
/// own checker and runtime; Prometheus' own parsers of metrics.
const PYTHON_TEST: &[&str] = &[
    "tritonclient[http,grpc]==2.73.0",
    "numpy==2.2.6; python_version < '3.11'",
    "numpy==2.4.6; python_version >= '3.11'",
    "onnx==1.23.2",
    "onnxruntime==1.23.2; python_version < '3.11'",
    "onnxruntime==1.32.0; python_version >= '3.11'",
    "prometheus-client==0.23.1",
];

/// Python packages that read the endpoint's description: a validator, and a fuzzer that sends what it allows and what not.
const PYTHON_OPENAPI: &[&str] = &["schemathesis==4.32.5", "openapi-spec-validator==0.9.0"];

/// Brings everything that `purpose` needs. Quick and quiet where nothing is missing.
///
/// # Errors
/// Fails when something required is missing and cannot be installed; the message says how to get it.
pub(crate) fn ensure(dirs: &Dirs, purpose: Purpose) -> Result<()> {
    system_tools(purpose)?;
    python_packages(dirs, "build", PYTHON_BUILD)?;
    if purpose >= Purpose::Test {
        python_packages(dirs, "test", PYTHON_TEST)?;
        // On their own: they bring much that the other packages want in other versions.
        python_packages_in(dirs, &openapi_venv(dirs), "openapi", PYTHON_OPENAPI)?;
    }
    Ok(())
}

/// Brings rustfmt and clippy, which a minimal toolchain lacks.
///
/// # Errors
/// Fails when they are missing and rustup cannot add them.
pub(crate) fn ensure_components() -> Result<()> {
    let works = |name: &str| output_of(Command::new(name).arg("--version")).is_some();
    let missing: Vec<_> =
        [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")].iter().filter(|(name, _)| !works(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let components = missing.iter().map(|(_, component)| *component).collect::<Vec<_>>();
    if on_path("rustup").is_none() {
        bail!("{} missing: install the toolchain's packages of that name", components.join(" and "));
    }
    must(Command::new("rustup").args(["component", "add"]).args(components))
}

/// The description of Mesa's software device for the Vulkan loader, if it is installed.
pub(crate) fn lavapipe() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let mut found: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| is_lavapipe(path, env::consts::ARCH))
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Multi-arch systems hold one file per architecture (`lvp_icd.x86_64.json`), others a single `lvp_icd.json`.
fn is_lavapipe(path: &Path, arch: &str) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name == "lvp_icd.json" || name == format!("lvp_icd.{arch}.json")
}

fn system_tools(purpose: Purpose) -> Result<()> {
    let debian = on_path("apt-get").is_some() && on_path("dpkg-query").is_some();
    let here = |tool: &SystemTool| if debian { is_installed(tool.apt) } else { (tool.found)() };
    let missing: Vec<&SystemTool> = SYSTEM_TOOLS.iter().filter(|tool| tool.purpose <= purpose && !here(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if debian {
        for tool in &missing {
            eprintln!("Installing {} ({}: {})", tool.apt, tool.name, tool.why);
        }
        return apt_install(&missing.iter().map(|tool| tool.apt).collect::<Vec<_>>());
    }
    eprintln!("Not on this machine:");
    for tool in &missing {
        eprintln!("  {} ({}): {}", tool.name, tool.why, tool.elsewhere);
    }
    let required: Vec<&str> = missing.iter().filter(|tool| tool.required).map(|tool| tool.name).collect();
    if !required.is_empty() {
        bail!("{} must be installed first (Fedora | macOS | Windows, as listed above)", required.join(", "));
    }
    eprintln!("Going on: what needs them is left out.");
    Ok(())
}

/// Installs Debian's compiler for WebAssembly.
///
/// # Errors
/// Fails where there is no apt, or the packages cannot be had.
pub(crate) fn ensure_debian_wasm() -> Result<()> {
    if on_path("apt-get").is_none() {
        bail!("this system is not Debian's; `rustup target add wasm32-unknown-unknown` must work here");
    }
    let missing: Vec<&str> = DEBIAN_WASM.into_iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() { Ok(()) } else { apt_install(&missing) }
}

/// Installs wrk, which loads the servers that are compared.
///
/// # Errors
/// Fails where it is missing and there is no apt.
pub(crate) fn ensure_wrk() -> Result<()> {
    if on_path("wrk").is_some() {
        return Ok(());
    }
    if on_path("apt-get").is_none() {
        bail!("wrk is missing: dnf install wrk | brew install wrk");
    }
    apt_install(&["wrk"])
}

/// Whether the system has the files for building with a library.
fn has_library(name: &str) -> bool {
    output_of(Command::new("pkg-config").args(["--modversion", name])).is_some()
}

fn is_installed(package: &str) -> bool {
    output_of(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status} ", package]))
        .is_some_and(|status| status.split_whitespace().any(|word| word == "installed"))
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install {}", packages.join(" "));
    let Some(prefix) = root_prefix() else {
        bail!("installing system packages needs root: run `{by_hand}` as root, then this again");
    };
    let apt = |args: &[&str]| {
        let mut words = prefix.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        let mut command = Command::new(words.next().unwrap_or("env"));
        command.args(words).args(["-q", "-y", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300"]).args(args);
        command
    };
    // An old list of one mirror is no reason to stop: what counts is whether the packages can be had.
    if !succeeds(&mut apt(&["update"]))? {
        eprintln!("`apt-get update` failed; trying with the lists that are here");
    }
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(packages);
    for _ in 0..3 {
        if succeeds(&mut apt(&install))? {
            return Ok(());
        }
    }
    bail!("`{by_hand}` failed three times; its own message is above");
}

/// The words in front of a command that make it run as root, or `None` where that is impossible.
fn root_prefix() -> Option<Vec<&'static str>> {
    if output_of(Command::new("id").arg("-u")).as_deref() == Some("0") {
        return Some(Vec::new());
    }
    on_path("sudo")?;
    // Without a terminal nobody can type a password, and sudo would wait for one.
    if std::io::stdin().is_terminal() {
        return Some(vec!["sudo"]);
    }
    output_of(Command::new("sudo").args(["-n", "true"])).map(|_| vec!["sudo", "-n"])
}

/// A Python 3 that can make virtual environments.
fn python() -> Option<&'static str> {
    ["python3", "python"].into_iter().find(|name| {
        let probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))";
        output_of(Command::new(name).args(["-c", probe])).is_some()
    })
}

/// The environment of what reads the endpoint's description.
fn openapi_venv(dirs: &Dirs) -> PathBuf {
    dirs.tools.join("openapi")
}

/// The Python of what reads the endpoint's description.
pub(crate) fn openapi_python(dirs: &Dirs) -> PathBuf {
    program_in(&openapi_venv(dirs), "python")
}

/// Installs a named set of pinned packages into the project's Python environment.
/// What was installed is written down, so that the next call compares two texts and starts no Python.
fn python_packages(dirs: &Dirs, set: &str, packages: &[&str]) -> Result<()> {
    python_packages_in(dirs, &dirs.venv(), set, packages)
}

/// [`python_packages`] in an environment of their own.
///
/// # Errors
/// Fails where there is no Python, or the packages cannot be had.
pub(crate) fn python_packages_in(dirs: &Dirs, venv: &Path, set: &str, packages: &[&str]) -> Result<()> {
    let stamp = dirs.tools.join(format!("python-{set}.txt"));
    let wanted = packages.join("\n") + "\n";
    let python_here = program_in(venv, "python");
    if is_current(&stamp, &wanted, &python_here) {
        return Ok(());
    }
    fs::create_dir_all(&dirs.tools).with_context(|| format!("cannot create {}", dirs.tools.display()))?;
    if output_of(Command::new(&python_here).args(["-m", "pip", "--version"])).is_none() {
        let python = python().context("no Python 3.9 or newer with venv and pip; install it, then try again")?;
        // `--clear`, because an environment whose pip does not answer is a half-made one.
        must(Command::new(python).args(["-m", "venv", "--clear"]).arg(venv))?;
    }
    eprintln!("Installing for {set}: {}", packages.join(", "));
    let mut pip = Command::new(&python_here);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "5"]).args(packages);
    must(&mut pip).context("Python packages could not be installed; is the package index in reach?")?;
    write_beside(&stamp, &wanted)
}

fn is_current(stamp: &Path, wanted: &str, program: &Path) -> bool {
    program.exists() && fs::read_to_string(stamp).is_ok_and(|text| text == wanted)
}

/// Writes a small file by rename, so that a reader sees all of it or none.
pub(crate) fn write_beside(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_software_device_of_this_architecture_is_taken() {
        for (name, expect) in [
            ("lvp_icd.x86_64.json", true),
            ("lvp_icd.json", true),
            ("lvp_icd.i686.json", false),
            ("radeon_icd.x86_64.json", false),
            ("", false),
        ] {
            assert_eq!(is_lavapipe(&Path::new("/usr/share/vulkan/icd.d").join(name), "x86_64"), expect, "{name}");
        }
    }

    #[test]
    fn a_stamp_counts_only_with_the_same_versions_and_the_program_there() {
        let folder = env::temp_dir().join(format!("athanor-xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (stamp, program) = (folder.join("python-build.txt"), folder.join("python"));
        assert!(!is_current(&stamp, "a==1\n", &program), "nothing is there yet");
        write_beside(&stamp, "a==1\n").unwrap();
        assert!(!is_current(&stamp, "a==1\n", &program), "the program is gone");
        fs::write(&program, "").unwrap();
        assert!(is_current(&stamp, "a==1\n", &program));
        assert!(!is_current(&stamp, "a==2\n", &program), "another version is wanted");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing half-written stays");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_python_package_is_pinned() {
        for package in PYTHON_BUILD.iter().chain(PYTHON_TEST).chain(PYTHON_OPENAPI) {
            assert!(package.contains("=="), "{package}");
        }
    }

    #[test]
    fn purposes_grow() {
        assert!(Purpose::Build < Purpose::Test);
    }
}
