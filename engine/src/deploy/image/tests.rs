//! Images from end to end, without a registry and a runtime: made, checked, unpacked, changed.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use athanor_learn::package::{SigningKey, sign};
use sha2::{Digest, Sha256};

use super::{
    documents::{Descriptor, Index, Manifest},
    elf::{self, tests::program},
    layer::{blob_path, digest_text},
    *,
};
use crate::desk::test_models::package;

/// A signed package, and a program of headers with one library.
struct House {
    folder: tempfile::TempDir,
    package: Vec<u8>,
    signer: String,
    program: Program,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate([7; 32]);
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let main = write("athanor-serve", &program(elf::X86_64, Some("/lib64/ld-x.so"), &["a.so"], ""));
        let program = Program {
            path: main,
            architecture: "amd64",
            interpreter: Some(write("ld-x.so", b"the loader")),
            libraries: vec![("a.so".to_owned(), write("a.so", b"a library"))],
            was_started: false,
        };
        Self { package: sign(package(1), &key).unwrap(), signer: key.public_hex(), program, folder }
    }

    fn parts(&self) -> ImageParts<'_> {
        ImageParts {
            model: "tumours",
            version: 3,
            package: &self.package,
            program: &self.program,
            access: ImageAccess::Keys,
            keys: None,
        }
    }

    fn build(&self, name: &str) -> (PathBuf, BuiltImage) {
        let folder = self.folder.path().join(name);
        let built = build(&self.parts(), &folder, &Watch::none()).unwrap();
        (folder, built)
    }
}

#[test]
fn the_same_parts_are_the_same_image_and_other_parts_another() {
    let house = House::new();
    let (folder, built) = house.build("one");
    assert_eq!(house.build("two").1, built);
    let found = verify_layout(&folder, std::slice::from_ref(&house.signer)).unwrap();
    assert_eq!((&found.digest, found.n_bytes), (&built.digest, built.n_bytes));
    assert_eq!((found.user.as_str(), found.access.as_str(), found.has_keys), ("65532:65532", "keys", false));
    let [model] = found.packages.as_slice() else { panic!("{found:?}") };
    assert_eq!((model.model.as_str(), model.version, model.trusted), ("tumours", 3, true));
    assert!(!verify_layout(&folder, &[]).unwrap().packages[0].trusted);

    let others = [
        ImageParts { version: 4, ..house.parts() },
        ImageParts { access: ImageAccess::Platform, ..house.parts() },
        ImageParts { keys: Some(b""), ..house.parts() },
    ];
    let to = house.folder.path().join("other");
    for other in others {
        assert_ne!(build(&other, &to, &Watch::none()).unwrap().digest, built.digest, "{other:?}");
    }
    let runtime = |folder: &Path| {
        let index: Index = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        let path = blob_path(&folder.join("blobs/sha256"), &index.manifests[0].digest).unwrap();
        let manifest: Manifest = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        manifest.layers[0].digest.clone()
    };
    assert_eq!(runtime(&folder), runtime(&to), "what runs is the same for every model");
}

#[test]
fn what_cannot_be_an_image_is_refused() {
    let house = House::new();
    let to = house.folder.path().join("image");
    let unsigned = package(1);
    let code = |parts: &ImageParts<'_>| build(parts, &to, &Watch::none()).unwrap_err().code();
    assert_eq!(code(&ImageParts { package: &unsigned, ..house.parts() }), Code::Untrusted);
    assert_eq!(code(&ImageParts { package: b"pickle", ..house.parts() }), Code::Corrupt);
    assert_eq!(code(&ImageParts { model: "../x", ..house.parts() }), Code::InvalidArgument);
    let both = ImageParts { access: ImageAccess::Platform, keys: Some(b""), ..house.parts() };
    assert_eq!(code(&both), Code::InvalidArgument);
    let gone = Program { path: "nowhere".into(), ..house.program.clone() };
    assert_eq!(code(&ImageParts { program: &gone, ..house.parts() }), Code::NotFound);
    assert!(!to.exists());
}

#[test]
fn an_image_unpacks_to_what_went_in() {
    let house = House::new();
    let (folder, _) = house.build("image");
    let to = house.folder.path().join("bundle");
    unpack(&folder, &to, &[]).unwrap();
    let root = to.join("rootfs");
    assert_eq!(fs::read(root.join("opt/athanor/models/tumours/3.athanor")).unwrap(), house.package);
    assert_eq!(fs::read(root.join("lib/athanor/a.so")).unwrap(), b"a library");
    let config: serde_json::Value = serde_json::from_slice(&fs::read(to.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["process"]["user"]["uid"], 65_532);
    assert_eq!(config["process"]["args"][0], "/athanor-serve");
    assert_eq!(config["process"]["noNewPrivileges"], true);
    assert_eq!(config["root"]["readonly"], true);
    assert_eq!(unpack(&folder, &to, &[]).unwrap_err().code(), Code::Conflict);
}

/// Puts other bytes in the place of a layer, and mends every digest on the way up: an image that somebody made so.
fn with_layer(folder: &Path, files: impl FnOnce(&mut tar::Builder<Vec<u8>>)) {
    let blobs = folder.join("blobs/sha256");
    let mut builder = tar::Builder::new(vec![]);
    files(&mut builder);
    let raw = builder.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &raw).unwrap();
    let compressed = gzip.finish().unwrap();
    let put = |bytes: &[u8]| {
        let digest = digest_text(&Sha256::digest(bytes));
        fs::write(blob_path(&blobs, &digest).unwrap(), bytes).unwrap();
        (digest, bytes.len() as u64)
    };
    let path = folder.join("index.json");
    let mut index: Index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let read = |named: &Descriptor| fs::read(blob_path(&blobs, &named.digest).unwrap()).unwrap();
    let mut manifest: Manifest = serde_json::from_slice(&read(&index.manifests[0])).unwrap();
    let mut config: ImageConfig = serde_json::from_slice(&read(&manifest.config)).unwrap();
    config.rootfs.diff_ids[1] = digest_text(&Sha256::digest(&raw));
    (manifest.layers[1].digest, manifest.layers[1].size) = put(&compressed);
    (manifest.config.digest, manifest.config.size) = put(&serde_json::to_vec(&config).unwrap());
    (index.manifests[0].digest, index.manifests[0].size) = put(&serde_json::to_vec(&manifest).unwrap());
    fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
}

/// Adds an entry whose path is taken as it is.
fn entry(builder: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    if kind.is_symlink() || kind.is_hard_link() {
        header.set_link_name_literal("/etc/shadow").unwrap();
    }
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

#[test]
fn an_image_that_somebody_made_to_do_harm_is_refused_and_writes_nothing() {
    use tar::EntryType as Kind;
    let house = House::new();
    let model = "opt/athanor/models/tumours/3.athanor";
    let trust = format!("{}\n", house.signer);
    let unsigned = package(1);
    let cases: [(&str, &str, Kind, u32, &[u8]); 12] = [
        ("leads up", "../escaped", Kind::Regular, 0o644, b"x"),
        ("is absolute", "/escaped", Kind::Regular, 0o644, b"x"),
        ("is a link", "opt/x", Kind::Symlink, 0o777, b""),
        ("is a hard link", "opt/x", Kind::Link, 0o644, b""),
        ("is a device", "dev/sda", Kind::Block, 0o644, b""),
        ("has another's rights", "opt/x", Kind::Regular, 0o4755, b"x"),
        ("takes a file away", "etc/.wh.passwd", Kind::Regular, 0o644, b""),
        ("takes another's place", "athanor-serve", Kind::Regular, 0o755, b"x"),
        ("is a long name", "././@LongLink", Kind::GNULongName, 0o644, b"/etc/shadow\0"),
        ("is no model", "opt/athanor/models/tumours/4.athanor", Kind::Regular, 0o644, b"pickle"),
        ("is not signed", "opt/athanor/models/tumours/5.athanor", Kind::Regular, 0o644, &unsigned),
        ("is no model's place", "opt/athanor/models/x.athanor", Kind::Regular, 0o644, b"x"),
    ];
    for (what, path, kind, mode, bytes) in cases {
        let (folder, _) = house.build("image");
        with_layer(&folder, |builder| {
            entry(builder, model, Kind::Regular, 0o444, &house.package);
            entry(builder, "etc/athanor/trust", Kind::Regular, 0o444, trust.as_bytes());
            entry(builder, path, kind, mode, bytes);
        });
        assert!(verify_layout(&folder, &[]).is_err(), "{what}");
        let to = house.folder.path().join("bundle");
        assert!(unpack(&folder, &to, &[]).is_err(), "{what}");
        assert!(!to.exists() && !house.folder.path().join("escaped").exists(), "{what}");
    }
    let (folder, _) = house.build("image");
    with_layer(&folder, |builder| {
        entry(builder, model, Kind::Regular, 0o444, &house.package);
        entry(builder, "etc/athanor/trust", Kind::Regular, 0o444, trust.as_bytes());
    });
    assert!(verify_layout(&folder, &[]).is_ok(), "the layer itself is none that is refused");
    with_layer(&folder, |builder| {
        entry(builder, model, Kind::Regular, 0o444, &house.package);
        entry(builder, "etc/athanor/trust", Kind::Regular, 0o444, &[b'0'; 64]);
    });
    let refused = verify_layout(&folder, &[]).unwrap_err().to_string();
    assert!(refused.contains("does not trust"), "{refused}");
    with_layer(&folder, |_| {});
    assert!(verify_layout(&folder, &[]).unwrap_err().to_string().contains("no model"));
}

#[test]
fn a_layer_that_unpacks_to_more_than_it_says_is_noticed() {
    let house = House::new();
    let (folder, built) = house.build("image");
    let blobs = folder.join("blobs/sha256");
    // Bytes behind the end of the compressed archive belong to the digest.
    for entry in fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        fs::write(&path, [&good[..], b"more"].concat()).unwrap();
        assert!(verify_layout(&folder, &[]).is_err(), "{}", path.display());
        fs::write(&path, good).unwrap();
    }
    assert_eq!(verify_layout(&folder, &[]).unwrap().digest, built.digest);
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert_eq!(verify_layout(&folder, &[]).unwrap_err().code(), Code::Unsupported);
}
