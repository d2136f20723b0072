//! Makes the glue of wasm-bindgen a function, of which each call is a glue of its own.
//!
//! As generated it is a module that keeps its one instance in variables: what was called of an instance that died would
//! reach its successor, with pointers into a memory that is gone. A module is evaluated once, and a service worker may not
//! import another one later. So the module becomes the body of `makeGlue(guard)`; `guard` gets the exports and the
//! compiled module, and gives what the glue then calls. The text is that of a pinned version: whatever else stands there
//! fails the build.

use anyhow::{Result, bail, ensure};

const EXPORTS: &str = "export { initSync, __wbg_init as default };";
const INSTANCE: &str = "wasm = instance.exports;";

/// The glue as a function.
pub(crate) fn factory(glue: &str) -> Result<String> {
    for once in [EXPORTS, INSTANCE] {
        ensure!(glue.matches(once).count() == 1, "the glue has another form: '{once}' is not there once");
    }
    let body = glue.replace(EXPORTS, "").replace(INSTANCE, "wasm = guard(instance.exports, module);");
    let (mut lines, mut names) = (Vec::new(), Vec::new());
    for line in body.lines() {
        if line.starts_with("import ") {
            bail!("the glue imports something: '{line}'");
        }
        // It names declarations that say less than js/src/boundary.ts, and are not shipped.
        if line.starts_with("/* @ts-self-types") {
            continue;
        }
        let Some(declared) = line.strip_prefix("export ") else {
            lines.push(line);
            continue;
        };
        let name = declared.strip_prefix("class ").or_else(|| declared.strip_prefix("function "));
        let Some(name) = name.map(|rest| rest.split([' ', '(', '{']).next().unwrap_or_default()) else {
            bail!("the glue exports something in another form: '{line}'");
        };
        names.push(name.to_owned());
        lines.push(declared);
    }
    let (lines, names) = (lines.join("\n"), names.join(", "));
    Ok(format!("export function makeGlue(guard) {{\n{}\nreturn {{ {names}, initSync, init: __wbg_init }};\n}}\n", lines.trim()))
}

#[cfg(test)]
mod tests {
    use super::factory;

    const GLUE: &str = "/* @ts-self-types=\"./x.d.ts\" */\n\nexport class Engine {\n    now() {}\n}\nexport function compute(a) {\n}\n\
        let wasm;\nfunction __wbg_finalize_init(instance, module) {\n    wasm = instance.exports;\n}\nexport { initSync, __wbg_init as default };\n";

    #[test]
    fn what_was_exported_is_what_the_function_gives() {
        let made = factory(GLUE).unwrap_or_default();
        assert!(made.starts_with("export function makeGlue(guard) {\nclass Engine {"), "{made}");
        assert!(made.ends_with("return { Engine, compute, initSync, init: __wbg_init };\n}\n"), "{made}");
        assert!(made.contains("    wasm = guard(instance.exports, module);"), "{made}");
        assert_eq!(made.matches("export ").count(), 1, "{made}");
    }

    #[test]
    fn a_glue_of_another_form_fails_the_build() {
        for (from, to) in [
            ("wasm = instance.exports;", "wasm = exports;"),
            ("export { initSync", "export { other, initSync"),
            ("let wasm;", "import * as snippet from './snippet.js';\nlet wasm;"),
            ("export function compute", "export const compute"),
        ] {
            let other = GLUE.replace(from, to);
            assert_ne!(other, GLUE);
            assert!(factory(&other).is_err(), "{from}");
        }
    }
}
