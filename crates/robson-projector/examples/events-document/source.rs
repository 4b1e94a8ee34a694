//! Reading source text: what a module, a struct and its fields say of themselves.
//!
//! No parser of Rust: it knows the few shapes that the event files have, and refuses what it does not know.

/// A struct with its fields.
#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

/// A field with its type as the source has it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) words: String,
}

impl Field {
    pub(crate) fn is_optional(&self) -> bool {
        self.kind.starts_with("Option<")
    }

    /// The type within `Option` or `Vec`.
    pub(crate) fn inner(&self) -> &str {
        let within = |outer| self.kind.strip_prefix(outer).and_then(|kind| kind.strip_suffix('>'));
        within("Option<").or_else(|| within("Vec<")).unwrap_or(&self.kind)
    }
}

/// What a module says of its event: one paragraph for each of its own, the name taken off.
pub(crate) fn module_words(text: &str, event_type: &str) -> Result<String, String> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let mut paragraphs = vec![String::new()];
    for line in lines {
        match (line, paragraphs.last_mut()) {
            ("", _) => paragraphs.push(String::new()),
            (line, Some(paragraph)) if paragraph.is_empty() => line.clone_into(paragraph),
            (line, Some(paragraph)) => *paragraph = format!("{paragraph} {line}"),
            (_, None) => {}
        }
    }
    let first = paragraphs[0].strip_prefix(&format!("{event_type}: "));
    let first = first.ok_or_else(|| format!("its module does not begin with `{event_type}: `"))?;
    let mut letters = first.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    paragraphs[0] = first;
    for label in ["Changes: ", "Refused: "] {
        for paragraph in &mut paragraphs {
            if let Some(rest) = paragraph.strip_prefix(label) {
                *paragraph = format!("*{}:* {rest}", label.trim_end_matches(": "));
            }
        }
    }
    Ok(paragraphs.join("\n\n"))
}

/// The structs of a module, in order; an event's own comes first.
pub(crate) fn structs(text: &str) -> Vec<Struct> {
    let mut found: Vec<Struct> = Vec::new();
    let (mut words, mut is_inside) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("/// ") {
            words = if words.is_empty() { linkless(more) } else { format!("{words} {}", linkless(more)) };
            continue;
        }
        if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
            found.push(Struct { name: name.to_owned(), fields: Vec::new() });
            is_inside = true;
        } else if line == "}" {
            is_inside = false;
        } else if let (true, Some((name, kind)), Some(current)) =
            (is_inside, line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")), found.last_mut())
        {
            let (name, kind) = (name.to_owned(), kind.trim_end_matches(',').to_owned());
            current.fields.push(Field { name, kind, words: words.clone() });
        }
        if !line.starts_with("#[") {
            words.clear();
        }
    }
    found
}

/// A sentence without the brackets that only rustdoc follows.
fn linkless(words: &str) -> String {
    words.replace("[`", "`").replace("`]", "`")
}
