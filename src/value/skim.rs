//! A look at JSON text without reading it: the members of an object and the items of a list, each still text.
//!
//! The records of a page and the rows of a store stay text until somebody needs them; only what stands around them
//! is read. What is found here is as good as the text: a part that nobody reads may be no JSON at all, and whoever
//! reads a part meets its errors then. Two parts never overlap, and none is cut within a string.

/// The members of an object in their order: each name as it is spelled, and the text of its value.
pub fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut skim = Skim { text, at: 0 };
    let mut found = Vec::new();
    skim.each(b'{', b'}', |skim| {
        let name = skim.string()?;
        skim.eat(b':').then_some(())?;
        found.push((name, skim.value()?));
        Some(())
    })?;
    Some(found)
}

/// The texts of the items of a list.
pub fn items(text: &str) -> Option<Vec<&str>> {
    let mut skim = Skim { text, at: 0 };
    let mut found = Vec::new();
    skim.each(b'[', b']', |skim| {
        found.push(skim.value()?);
        Some(())
    })?;
    Some(found)
}

struct Skim<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Skim<'t> {
    /// What stands between two brackets, one after the other, and nothing after them.
    fn each(&mut self, open: u8, close: u8, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(open).then_some(())?;
        if !self.eat(close) {
            loop {
                one(self)?;
                if self.eat(close) {
                    break;
                }
                self.eat(b',').then_some(())?;
            }
        }
        self.peek().is_none().then_some(())
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    /// What a string spells, its escapes as they are.
    fn string(&mut self) -> Option<&'t str> {
        self.eat(b'"').then_some(())?;
        let from = self.at;
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return self.text.get(from..self.at - 1);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// The text of the next value.
    fn value(&mut self) -> Option<&'t str> {
        let first = self.peek()?;
        let (from, mut open) = (self.at, 0_usize);
        if !matches!(first, b'"' | b'{' | b'[') {
            let end = self.text.get(from..)?.find([',', ']', '}', ' ', '\n', '\r', '\t']);
            self.at = end.map_or(self.text.len(), |length| from + length);
            return self.text.get(from..self.at).filter(|word| !word.is_empty());
        }
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open -= 1;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            if open == 0 {
                return self.text.get(from..self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_items_are_the_texts_that_stand_there() {
        let text = "{ \"a\" : 1.50,\"b\":[1, {\"c\":\"]}\"}] ,\"d\\\"e\":\"\\\\\",\n\"f\":{},\"ü\":null}\n";
        let wanted = vec![("a", "1.50"), ("b", "[1, {\"c\":\"]}\"}]"), ("d\\\"e", "\"\\\\\""), ("f", "{}"), ("ü", "null")];
        assert_eq!(members(text), Some(wanted));
        assert_eq!(items("[1 ,\"a,b\", [] ,{\"x\":[2]}]"), Some(vec!["1", "\"a,b\"", "[]", "{\"x\":[2]}"]));
        assert_eq!((members(" {} "), items("[ ]")), (Some(vec![]), Some(vec![])));
    }

    #[test]
    fn what_has_no_such_form_is_nothing() {
        for text in
            ["", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "{\"a\":1}x", "{a:1}", "[1]", "{\"a\":\"b}", "{\"a\":[1}", "{\"a"]
        {
            assert_eq!(members(text), None, "{text}");
        }
        for text in ["[", "[1", "[1,]", "[,1]", "[1]]", "{}", "[\"\\\"]", "[1 2]", "[\"é"] {
            assert_eq!(items(text), None, "{text}");
        }
    }

    #[test]
    fn whatever_json_holds_is_cut_where_a_parser_cuts_it() {
        let text = r#"{"a":[{"b":"\u005d\"}"},-1.5e3,true,{"":{"":[[]]}}],"c\\":"\\\"","d":{"e":null}}"#;
        let serde_json::Value::Object(parsed) = serde_json::from_str(text).expect("JSON") else { panic!("an object") };
        let cut = members(text).expect("members");
        assert_eq!(cut.len(), parsed.len());
        for (name, part) in cut {
            let name: String = serde_json::from_str(&format!("\"{name}\"")).expect("a name");
            assert_eq!(serde_json::from_str::<serde_json::Value>(part).expect("a value"), parsed[&name], "{name}");
        }
        // Every cut of it, wherever it ends, is refused and breaks nothing.
        for end in 0..text.len() {
            assert_eq!(members(&text[..end]), None, "{end}");
        }
    }
}
