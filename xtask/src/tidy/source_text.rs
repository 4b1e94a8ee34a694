//! Rust source without what is not code: comments, the contents of strings, a closing test module.
//!
//! Not a parser; it keeps every line where it was, so that a place can be named.

/// The code of a source file, with everything else blanked.
pub(super) fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' if !code.ends_with(is_word) || code.ends_with(['b', 'c']) => match raw_string_end(&chars, at)
            {
                Some(end) => end,
                None => at,
            },
            '\'' => char_literal_end(&chars, at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    without_test_module(code)
}

/// The lines, from 1, on which `token` stands as a whole word.
pub(super) fn lines_naming(code: &str, token: &str) -> Vec<usize> {
    // Inside a longer word it is something else.
    let goes_on =
        |edge: Option<char>, next: Option<char>| edge.is_some_and(is_word) && next.is_some_and(is_word);
    let names = |line: &str| {
        line.match_indices(token).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + token.len()..]);
            !goes_on(token.chars().next(), before.chars().next_back())
                && !goes_on(token.chars().next_back(), after.chars().next())
        })
    };
    (1..).zip(code.lines()).filter(|(_, line)| names(line)).map(|(number, _)| number).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|&c| c == '\n').map_or(chars.len(), |n| from + n)
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars[from + 1..].iter().take_while(|&&c| c == '#').count();
    let open = from + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| {
        chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((open + 1..chars.len()).find(|&at| closes(at)).map_or(chars.len(), |at| at + 1 + hashes))
}

/// A quote also begins a lifetime, which is code.
fn char_literal_end(chars: &[char], from: usize) -> usize {
    let close = match chars.get(from + 1) {
        Some('\\') => chars[from + 2..].iter().skip(1).position(|&c| c == '\'').map(|n| from + 3 + n),
        Some(_) if chars.get(from + 2) == Some(&'\'') => Some(from + 2),
        _ => None,
    };
    close.map_or(from, |close| close + 1)
}

/// Tests may read the environment and files; by our habit their module closes the file.
fn without_test_module(mut code: String) -> String {
    let marker = "#[cfg(test)]";
    let is_module = |at: usize| {
        let rest = code[at + marker.len()..].trim_start();
        rest.starts_with("mod ") && rest.split(['{', ';']).next().is_some_and(|head| !head.contains('\n'))
    };
    let module = code.match_indices(marker).map(|(at, _)| at).find(|&at| is_module(at));
    if let Some(at) = module.filter(|&at| code[at..].contains('{')) {
        code.truncate(at);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_counts() {
        let check = |source: &str, expected: &[usize]| {
            assert_eq!(lines_naming(&code_of(source), "sqlx"), expected, "{source}");
        };
        check("use sqlx::Row;", &[1]);
        check("// sqlx\n/* sqlx\n /* sqlx */ sqlx */ sqlx", &[3]);
        check("\"sqlx \\\" sqlx\" sqlx", &[1]);
        check("let a = \"\nsqlx\n\";\nsqlx", &[4]);
        check("r#\"sqlx \" sqlx\"# + br\"sqlx\"\nsqlx", &[2]);
        check("fn f<'a>(x: &'a str, q: char) { q == '\"'; sqlx }", &[1]);
        check("'\\''; '\\\\'; sqlx", &[1]);
        check("sqlx_like; mysqlx", &[]);
        check("sqlx\n#[cfg(test)]\nmod tests {\n sqlx\n}", &[1]);
        check("#[cfg(test)]\nfn f() {}\nsqlx", &[3]);
    }
}
