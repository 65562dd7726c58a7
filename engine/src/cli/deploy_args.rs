//! What can be said behind `deploy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::deploy::image::ImageAccess;

#[derive(Debug, Subcommand)]
pub(crate) enum DeployCommand {
    /// Make a container image of a version, as a folder or in a registry.
    #[command(after_help = "\
Examples:
  athanor deploy image wine@production -o wine-image
  athanor deploy image wine:3 --push registry.example.org/wine:3 --username ci --password-stdin < token
  athanor deploy image wine --access platform --push 123.dkr.ecr.eu-west-1.amazonaws.com/wine:3")]
    Image(ImageArgs),
    /// Check an image, in a folder or in a registry: every blob, what is in it, and who signed the model.
    Verify(VerifyArgs),
    /// Unpack an image into a folder that crun or runc can run.
    Unpack(UnpackArgs),
    /// Make one file with everything that a small machine needs to serve a version.
    #[command(after_help = "Example: athanor deploy edge wine@production -o wine-edge.tar.gz")]
    Edge(EdgeArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessArg {
    /// Every request carries a key.
    Keys,
    /// The platform in front has checked who asks; no keys.
    Platform,
}

impl From<AccessArg> for ImageAccess {
    fn from(access: AccessArg) -> Self {
        match access {
            AccessArg::Keys => Self::Keys,
            AccessArg::Platform => Self::Platform,
        }
    }
}

/// The slim server that goes in.
#[derive(Debug, Args)]
pub(crate) struct ProgramArgs {
    /// A Linux build of athanor-serve; the one beside this program where it is not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// A file of hashed keys to put in, as 'athanor keys export' writes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
}

/// Who we are to a registry.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// The name at the registry; what 'docker login' has written down where it is not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input; else it is taken from ATHANOR_REGISTRY_PASSWORD.
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// NAME, NAME@ALIAS or NAME:VERSION.
    pub(crate) model: String,
    /// The folder to write, in the OCI image layout.
    #[arg(short, long, value_name = "DIR", required_unless_present = "push")]
    pub(crate) output: Option<PathBuf>,
    /// Send it to a registry; it is fetched again and checked.
    #[arg(long, value_name = "REGISTRY/NAME:TAG")]
    pub(crate) push: Option<String>,
    /// Who checks requests to the container.
    #[arg(long, value_enum, default_value = "keys")]
    pub(crate) access: AccessArg,
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A folder, or REGISTRY/NAME:TAG.
    pub(crate) image: String,
    /// A public key that must have signed the model; may be given several times.
    #[arg(long, value_name = "KEY")]
    pub(crate) trust: Vec<String>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UnpackArgs {
    /// The image's folder.
    pub(crate) image: PathBuf,
    /// The folder to write.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeArgs {
    /// NAME, NAME@ALIAS or NAME:VERSION.
    pub(crate) model: String,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
}
