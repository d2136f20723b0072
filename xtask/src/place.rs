//! Where things are: the checkout, its build output, and the tools that all checkouts share.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The paths of one checkout, and the inputs of its wasm build.
#[derive(Debug)]
pub(crate) struct Place {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's output; ours lies beside it, so that `cargo clean` takes both.
    pub(crate) target: PathBuf,
    /// Tools, one folder per name and version; shared by all checkouts of this user.
    pub(crate) tools: PathBuf,
    /// wasm-pack.toml.
    pub(crate) inputs: BuildInputs,
}

/// wasm-pack.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BuildInputs {
    pub(crate) build: WasmBuild,
    pub(crate) tools: ToolPins,
    pub(crate) budget: Budget,
}

/// What wasm-pack is called with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WasmBuild {
    pub(crate) target: String,
    pub(crate) profile: String,
    pub(crate) out_dir: String,
    pub(crate) out_name: String,
    #[expect(dead_code, reason = "wasm-pack takes it from Cargo.toml; a test holds both in agreement")]
    pub(crate) wasm_opt: Vec<String>,
}

/// The exact versions of the tools that shape the module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ToolPins {
    pub(crate) wasm_pack: String,
    pub(crate) wasm_bindgen: String,
    pub(crate) binaryen: String,
}

/// What the package may weigh.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Budget {
    pub(crate) wasm_gzip_promise: u64,
    pub(crate) wasm_gzip_bytes: u64,
    pub(crate) js_gzip_bytes: u64,
}

impl Place {
    /// Finds the checkout that this tool was built from.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?.to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(elsewhere) => root.join(elsewhere),
            None => root.join("target"),
        };
        let tools = match std::env::var_os("FIELDSYNC_TOOLS_DIR") {
            Some(elsewhere) => PathBuf::from(elsewhere),
            None => cache_home()?.join("fieldsync/tools"),
        };
        let text = std::fs::read_to_string(root.join("wasm-pack.toml")).context("reading wasm-pack.toml")?;
        let inputs = toml::from_str(&text).context("wasm-pack.toml does not say what the build needs")?;
        Ok(Self { root, target, tools, inputs })
    }

    /// What wasm-pack and tsc write, and what the package ships.
    pub(crate) fn dist(&self) -> PathBuf {
        self.root.join("pkg/dist")
    }

    /// The module that the package ships.
    pub(crate) fn wasm(&self) -> PathBuf {
        let build = &self.inputs.build;
        self.root.join(&build.out_dir).join(format!("{}_bg.wasm", build.out_name))
    }

    /// A file of our own; in the checkout, because what it tells about lies there too.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.root.join(".fieldsync").join(name)
    }
}

fn cache_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = std::env::var_os("HOME").context("HOME is not set: name a folder for tools in FIELDSYNC_TOOLS_DIR")?;
    Ok(PathBuf::from(home).join(".cache"))
}
