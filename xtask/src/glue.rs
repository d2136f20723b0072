//! Makes the glue of wasm-bindgen a function, of which each call is a glue of its own.
//!
//! As generated it is a module that keeps its one instance in variables: what was called of an instance that died would
//! reach its successor, with pointers into a memory that is gone. A module is evaluated once, and a service worker may not
//! import another one later. So the module becomes the body of `makeGlue(guard)`; `guard` gets the exports and the
//! compiled module, and gives what the glue then calls. The text is that of a pinned version: whatever else stands there
//! fails the build.
//!
//! A second text, for `fieldsync/testing`, is `makeGlue(guard, realm)`: in it the names of what a browser has mean what `realm`
//! has under them, so that a test gives an instance a clock, a storage and a network of its own. In a page they must go on
//! meaning what they mean at the moment: an app's tests may replace its timers.

use anyhow::{Result, bail, ensure};

const EXPORTS: &str = "export { initSync, __wbg_init as default };";
const INSTANCE: &str = "wasm = instance.exports;";

/// What a realm has in the place of the platform.
const REALM: [&str; 15] = [
    "BroadcastChannel",
    "Date",
    "IDBCursorWithValue",
    "IDBDatabase",
    "IDBFactory",
    "IDBKeyRange",
    "IDBOpenDBRequest",
    "IDBRequest",
    "Request",
    "addEventListener",
    "clearTimeout",
    "fetch",
    "global",
    "setTimeout",
    "window",
];

/// The glue as a function in which the platform's names mean what a realm has under them.
pub(crate) fn realm_factory(glue: &str) -> Result<String> {
    for name in REALM {
        ensure!(words(glue).any(|word| word == name), "the glue does not ask for '{name}' any more");
    }
    if let Some(other) = words(glue).find(|word| word.starts_with("IDB") && !REALM.contains(word)) {
        bail!("the glue asks for '{other}', which a realm does not have");
    }
    let own = format!("const globalThis = realm, self = realm, {{ {} }} = realm;", REALM.join(", "));
    let head = "export function makeGlue(guard";
    Ok(factory(glue)?.replacen(&format!("{head}) {{"), &format!("{head}, realm) {{\n{own}"), 1))
}

/// The words of a text without its comments.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words = code.flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
    words.filter(|word| !word.is_empty())
}

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
    use super::{REALM, factory, realm_factory};

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
    fn in_a_realm_the_names_of_the_platform_are_its_own() {
        let uses: String = REALM.iter().map(|name| format!("void {name};\n")).collect();
        let glue = GLUE.replace("let wasm;", &format!("let wasm;\n{uses}"));
        let made = realm_factory(&glue).unwrap_or_default();
        assert!(made.starts_with("export function makeGlue(guard, realm) {\nconst globalThis = realm, self = realm, {"), "{made}");
        assert!(made.contains(", setTimeout, window } = realm;\n"), "{made}");
        assert!(realm_factory(&glue.replace("void fetch;", "")).is_err(), "what it does not ask for any more");
        assert!(realm_factory(&glue.replace("void fetch;", "void fetch; void IDBIndex;")).is_err(), "what no realm has");
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
