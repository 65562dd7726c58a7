//! Makes a package that installs the programs: on Linux a `.deb`.
//!
//! Written by hand, because the format is small (an `ar` of three files) and nothing has to be fetched for it. The same
//! sources give the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{must, on_path, output_of, succeeds},
    dirs::Dirs,
    tasks, ui,
};

const PACKAGE: &str = "athanor";
const PROGRAMS: &[&str] = &["athanor", "athanor-desktop", "athanor-serve"];

/// Shared libraries that the programs are linked with, and the Debian packages that bring them (older | newer name).
const LIBRARIES: &[(&str, &str)] = &[
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libstdc++.so.6", "libstdc++6"),
    ("libgomp.so.1", "libgomp1"),
    ("libgtk-3.so.0", "libgtk-3-0 | libgtk-3-0t64"),
    ("libgdk-3.so.0", "libgtk-3-0 | libgtk-3-0t64"),
    ("libgdk_pixbuf-2.0.so.0", "libgdk-pixbuf-2.0-0"),
    ("libcairo.so.2", "libcairo2"),
    ("libcairo-gobject.so.2", "libcairo-gobject2"),
    ("libpango-1.0.so.0", "libpango-1.0-0"),
    ("libatk-1.0.so.0", "libatk1.0-0 | libatk1.0-0t64"),
    ("libglib-2.0.so.0", "libglib2.0-0 | libglib2.0-0t64"),
    ("libgobject-2.0.so.0", "libglib2.0-0 | libglib2.0-0t64"),
    ("libgio-2.0.so.0", "libglib2.0-0 | libglib2.0-0t64"),
    ("libwebkit2gtk-4.1.so.0", "libwebkit2gtk-4.1-0"),
    ("libjavascriptcoregtk-4.1.so.0", "libjavascriptcoregtk-4.1-0"),
    ("libsoup-3.0.so.0", "libsoup-3.0-0"),
    ("libxdo.so.3", "libxdo3"),
    ("libX11.so.6", "libx11-6"),
    ("libdbus-1.so.3", "libdbus-1-3"),
];

/// Libraries of the C library's own package.
const LIBC: &[&str] = &["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"];

const ICONS: &[(&str, &str)] =
    &[("32x32.png", "32x32"), ("128x128.png", "128x128"), ("128x128@2x.png", "256x256"), ("icon.png", "512x512")];

const DESKTOP_ENTRY: &str = "\
[Desktop Entry]
Type=Application
Name=Athanor
GenericName=Machine Learning Workbench
Comment=Prepare tables, train models, watch runs, serve versions
Exec=athanor-desktop %f
Icon=athanor
Terminal=false
Categories=Science;ArtificialIntelligence;DataVisualization;
Keywords=machine learning;training;tables;models;
StartupWMClass=athanor-desktop
";

/// Builds the programs and packs them.
///
/// # Errors
/// Fails when the build fails, a tool is missing, or a program needs a library that no package is known for.
pub(crate) fn bundle(dirs: &Dirs, profile: &str) -> Result<ExitCode> {
    if !cfg!(target_os = "linux") {
        bail!("packages are made on Linux only, so far; the programs are built by `cargo build --release --workspace`");
    }
    for tool in ["tar", "gzip", "objdump"] {
        on_path(tool).with_context(|| format!("{tool} is missing: it packs, or tells what the programs need"))?;
    }
    tasks::build_all(dirs, profile)?;
    let folder = dirs.target.join("bundle");
    let root = folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot clear {}", root.display()))?;
    }
    lay_out(dirs, profile, &root)?;
    let name = format!("{PACKAGE}_{}_{}.deb", env!("CARGO_PKG_VERSION"), architecture(std::env::consts::ARCH)?);
    let package = folder.join(name);
    pack(&root, &folder, &package)?;
    let n_bytes = fs::metadata(&package).map_or(0, |file| file.len());
    println!("made: {} ({:.1} MB)", package.display(), n_bytes as f64 / 1e6);
    println!("install: apt install {}", package.display());
    if on_path("appimagetool").is_none() {
        println!("No AppImage: its tool (appimagetool) comes from no package registry, and is not on PATH.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts everything where it will be installed.
fn lay_out(dirs: &Dirs, profile: &str, root: &Path) -> Result<()> {
    let programs = root.join("usr/bin");
    create(&programs)?;
    for name in PROGRAMS {
        let to = programs.join(name);
        copy(&dirs.built(profile, name), &to)?;
        // Symbols are half of an everyday build. Without the tool the package is only bigger.
        if on_path("strip").is_some() && !succeeds(Command::new("strip").arg("--strip-unneeded").arg(&to))? {
            eprintln!("strip failed; {name} is packed as it is");
        }
    }
    let share = root.join("usr/share");
    ui::copy_into(&dirs.root.join("ui/dist"), &share.join("athanor/ui"))?;
    create(&share.join("applications"))?;
    write(&share.join("applications/athanor.desktop"), DESKTOP_ENTRY)?;
    for (file, size) in ICONS {
        let folder = share.join("icons/hicolor").join(size).join("apps");
        create(&folder)?;
        copy(&dirs.root.join("src-tauri/icons").join(file), &folder.join("athanor.png"))?;
    }
    let doc = share.join("doc").join(PACKAGE);
    create(&doc)?;
    let licences = ["LICENSE-MIT", "LICENSE-APACHE"];
    let mut copyright = String::from("Athanor, under the terms of either licence:\n");
    for name in licences {
        let text = fs::read_to_string(dirs.root.join(name)).with_context(|| format!("cannot read {name}"))?;
        copyright += &format!("\n---- {name} ----\n\n{text}");
    }
    write(&doc.join("copyright"), &copyright)
}

/// Makes the archive.
fn pack(root: &Path, folder: &Path, package: &Path) -> Result<()> {
    let control = folder.join("control");
    create(&control)?;
    write(&control.join("control"), &control_text(root)?)?;
    write(&control.join("md5sums"), &md5sums(root)?)?;
    let (control_tar, data_tar) = (folder.join("control.tar.gz"), folder.join("data.tar.gz"));
    tar(&control, &control_tar)?;
    tar(root, &data_tar)?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", read(&control_tar)?),
        ("data.tar.gz", read(&data_tar)?),
    ];
    fs::write(package, ar(&members)).with_context(|| format!("cannot write {}", package.display()))?;
    for left in [&control_tar, &data_tar] {
        fs::remove_file(left).with_context(|| format!("cannot remove {}", left.display()))?;
    }
    Ok(())
}

/// An `ar` archive, with nothing in it that depends on when or by whom it was made.
fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        out.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", bytes.len()).bytes());
        out.extend(bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

fn tar(folder: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.args(["--create", "--gzip", "--format=gnu", "--sort=name", "--mtime=@0", "--owner=0", "--group=0"]);
    command.args(["--numeric-owner", "--mode=u=rwX,go=rX"]).arg("--file").arg(to).arg("--directory").arg(folder);
    must(command.arg(".").env("GZIP", "-9n"))
}

fn control_text(root: &Path) -> Result<String> {
    let mut needed = Vec::new();
    let mut libc = (0, 0);
    for name in PROGRAMS {
        let program = root.join("usr/bin").join(name);
        let headers = objdump(&program, "-p")?;
        needed.extend(needed_libraries(&headers));
        libc = libc.max(libc_version(&headers));
    }
    let depends = depends(&needed, libc)?;
    let n_kib = size_of(root)?.div_ceil(1024);
    let arch = architecture(std::env::consts::ARCH)?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "Package: {PACKAGE}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: The Athanor developers \
         <athanor@localhost>\nInstalled-Size: {n_kib}\nDepends: {depends}\nRecommends: libvulkan1, mesa-vulkan-drivers\n\
         Section: science\nPriority: optional\nDescription: desktop machine learning workbench\n Prepare tables, draw \
         workflows, train models on this machine, watch runs\n live, and serve signed versions.\n"
    ))
}

fn objdump(program: &Path, what: &str) -> Result<String> {
    output_of(Command::new("objdump").arg(what).arg(program))
        .with_context(|| format!("objdump cannot read {}", program.display()))
}

/// Libraries that a program is linked with, by its headers.
fn needed_libraries(headers: &str) -> Vec<String> {
    let needed = headers.lines().filter_map(|line| line.trim().strip_prefix("NEEDED"));
    needed.map(|name| name.trim().to_owned()).collect()
}

/// The newest version of the C library that a program's headers ask for.
fn libc_version(headers: &str) -> (u32, u32) {
    let versions = headers.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let mut parts = rest[..end].split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    });
    versions.max().unwrap_or((2, 36))
}

fn depends(needed: &[String], libc: (u32, u32)) -> Result<String> {
    let mut packages = vec![format!("libc6 (>= {}.{})", libc.0, libc.1)];
    for library in needed.iter().filter(|name| !LIBC.contains(&name.as_str()) && !name.starts_with("ld-linux")) {
        let known = LIBRARIES.iter().find(|(name, _)| name == library);
        let (_, package) = known.with_context(|| format!("no Debian package is known for {library}"))?;
        if !packages.iter().any(|there| there == package) {
            packages.push((*package).to_owned());
        }
    }
    packages[1..].sort();
    Ok(packages.join(", "))
}

fn architecture(arch: &str) -> Result<&'static str> {
    match arch {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no Debian architecture is known for {other}"),
    }
}

fn md5sums(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    walk(root, &mut files)?;
    files.sort();
    let mut out = String::new();
    for file in files {
        let sum = output_of(Command::new("md5sum").arg(&file)).context("md5sum is missing")?;
        let sum = sum.split_whitespace().next().unwrap_or_default().trim_start_matches('\\').to_owned();
        let name = file.strip_prefix(root).unwrap_or(&file);
        out += &format!("{sum}  {}\n", name.display());
    }
    Ok(out)
}

fn size_of(root: &Path) -> Result<u64> {
    let mut files = Vec::new();
    walk(root, &mut files)?;
    Ok(files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum())
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry.context("cannot read a folder")?.path();
        if path.is_dir() { walk(&path, into)? } else { into.push(path) }
    }
    Ok(())
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "
Dynamic Section:
  NEEDED               libgtk-3.so.0
  NEEDED               libgdk-3.so.0
  NEEDED               libc.so.6
  NEEDED               ld-linux-x86-64.so.2
Version References:
  required from libc.so.6:
    0x06969196 0x00 02 GLIBC_2.36
    0x09691a75 0x00 03 GLIBC_2.2.5
    0x069691b9 0x00 04 GLIBC_2.9
";

    #[test]
    fn what_a_program_needs_is_read_from_its_headers() {
        let needed = needed_libraries(HEADERS);
        assert_eq!(needed, ["libgtk-3.so.0", "libgdk-3.so.0", "libc.so.6", "ld-linux-x86-64.so.2"]);
        assert_eq!(libc_version(HEADERS), (2, 36));
        assert_eq!(depends(&needed, (2, 36)).unwrap(), "libc6 (>= 2.36), libgtk-3-0 | libgtk-3-0t64");
        let unknown = depends(&["libnonsense.so.9".to_owned()], (2, 36)).unwrap_err().to_string();
        assert!(unknown.contains("libnonsense.so.9"), "{unknown}");
    }

    #[test]
    fn an_archive_has_fixed_headers_and_even_members() {
        let bytes = ar(&[("debian-binary", b"2.0\n".to_vec()), ("odd", b"abc".to_vec())]);
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n"),
            "{text}"
        );
        assert!(text.ends_with("odd             0           0     0     100644  3         `\nabc\n"), "{text}");
    }

    #[test]
    fn only_architectures_that_debian_knows_are_packed() {
        assert_eq!(architecture("x86_64").unwrap(), "amd64");
        assert!(architecture("pdp11").is_err());
    }

    #[test]
    fn the_menu_entry_names_what_is_installed() {
        assert!(DESKTOP_ENTRY.contains("Exec=athanor-desktop ") && PROGRAMS.contains(&"athanor-desktop"));
        for (file, _) in ICONS {
            assert!(Path::new("../src-tauri/icons").join(file).is_file(), "{file}");
        }
    }
}
