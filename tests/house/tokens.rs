//! Rust source as far as the house rules need it: words, punctuation, the paths that a file names,
//! and where they lead. Comments, strings and characters are no code and are left out.

/// A word or a punctuation mark, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A path from the crate's root, as the code names it: `crate::model::Id` is `["model", "Id"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// The tokens of a source text.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let bytes: Vec<char> = source.chars().collect();
    let at = |index: usize| bytes.get(index).copied().unwrap_or('\0');
    let (mut found, mut index, mut line) = (Vec::new(), 0, 1);
    while index < bytes.len() {
        let start = index;
        let mut text = None;
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < bytes.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => index = end_of_block_comment(&bytes, index),
            '"' => index = end_of_string(&bytes, index),
            'r' | 'b' | 'c' if raw_hashes(&bytes, index).is_some() => index = end_of_raw_string(&bytes, index),
            'b' | 'c' if at(index + 1) == '"' => index = end_of_string(&bytes, index + 1),
            // A character, but not a lifetime.
            '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => {
                index += if at(index + 1) == '\\' { 3 } else { 2 };
                while index < bytes.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            letter if letter.is_alphanumeric() || letter == '_' => {
                while at(index).is_alphanumeric() || at(index) == '_' {
                    index += 1;
                }
                text = Some(bytes[start..index].iter().collect());
            }
            ':' if at(index + 1) == ':' => {
                index += 2;
                text = Some("::".to_owned());
            }
            space if space.is_whitespace() => index += 1,
            mark => {
                index += 1;
                text = Some(mark.to_string());
            }
        }
        if let Some(text) = text {
            found.push(Token { text, line });
        }
        line += bytes[start..index.min(bytes.len())].iter().filter(|letter| **letter == '\n').count();
    }
    found
}

fn end_of_block_comment(bytes: &[char], start: usize) -> usize {
    let (mut depth, mut index) = (0, start);
    while index < bytes.len() {
        match (bytes[index], bytes.get(index + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                index += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    break;
                }
            }
            _ => index += 1,
        }
    }
    index
}

fn end_of_string(bytes: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < bytes.len() && bytes[index] != '"' {
        index += if bytes[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

/// The number of hashes of the raw string that begins here, if one does.
fn raw_hashes(bytes: &[char], start: usize) -> Option<usize> {
    let after_prefix = match (bytes[start], bytes.get(start + 1)) {
        ('r', _) => start + 1,
        ('b' | 'c', Some('r')) => start + 2,
        _ => return None,
    };
    let hashes = bytes[after_prefix..].iter().take_while(|mark| **mark == '#').count();
    (bytes.get(after_prefix + hashes) == Some(&'"')).then_some(hashes)
}

fn end_of_raw_string(bytes: &[char], start: usize) -> usize {
    let hashes = raw_hashes(bytes, start).unwrap_or(0);
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let first = start + bytes[start..].iter().position(|mark| *mark == '"').unwrap_or(0) + 1;
    (first..bytes.len()).find(|index| bytes[*index..].starts_with(&closing)).map_or(bytes.len(), |found| found + closing.len())
}

/// Every path of the file that starts at `root` (`crate`, or the crate's name from outside), groups
/// taken apart; within the crate also every `super` path, resolved from the module where it stands.
pub(crate) fn named(tokens: &[Token], root: &str, module: &[&str]) -> Vec<Named> {
    let mut found = Vec::new();
    // Inline modules that are open, each with the brace depth at which it closes.
    let (mut inline, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    let mut index = 0;
    while index < tokens.len() {
        let text = tokens[index].text.as_str();
        let path_goes_on = tokens.get(index + 1).is_some_and(|next| next.text == "::");
        let continues_another = index > 0 && tokens[index - 1].text == "::";
        match text {
            "mod" if tokens.get(index + 2).is_some_and(|next| next.text == "{") => inline.push((tokens[index + 1].text.clone(), depth)),
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, opened)| *opened < depth);
            }
            "super" if root == "crate" && path_goes_on && !continues_another => {
                let mut here: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
                here.extend(inline.iter().map(|(name, _)| name.clone()));
                while tokens.get(index).is_some_and(|token| token.text == "super")
                    && tokens.get(index + 1).is_some_and(|next| next.text == "::")
                {
                    here.pop();
                    index += 2;
                }
                tree(tokens, index, &here, &mut found);
                continue;
            }
            _ if text == root && path_goes_on && !continues_another => {
                tree(tokens, index + 2, &[], &mut found);
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// Reads one path or group from `index` on, below `before`; returns where it ends.
fn tree(tokens: &[Token], mut index: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(index) {
        if token.text == "{" {
            index += 1;
            while tokens.get(index).is_some_and(|token| token.text != "}") {
                let next = tree(tokens, index, &path, found);
                // A group always moves on, whatever it holds.
                index = next.max(index + 1);
                if tokens.get(index).is_some_and(|token| token.text == ",") {
                    index += 1;
                }
            }
            return index + 1;
        }
        path.push(token.text.clone());
        index += 1;
        if tokens.get(index).is_some_and(|token| token.text == "::") {
            index += 1;
            continue;
        }
        found.push(Named { path, line: token.line });
        // `as name` within a group.
        while tokens.get(index).is_some_and(|token| token.text == "as") {
            index += 2;
        }
        return index;
    }
    index
}
