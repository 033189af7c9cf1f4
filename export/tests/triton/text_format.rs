//! A reader of protobuf's text format, in which a model's configuration is written.

/// A message in protobuf's text format, field by field in the order of the text.
#[derive(Debug)]
pub(crate) struct Message(Vec<(String, Field)>);

#[derive(Debug)]
pub(crate) enum Field {
    Scalar(String),
    List(Vec<String>),
    Message(Message),
}

impl Message {
    /// Reads the whole text; panics if it is not such a message.
    pub(crate) fn parse(text: &str) -> Self {
        let mut tokens = tokens(text);
        tokens.reverse();
        let message = Self::fields(&mut tokens);
        assert!(tokens.is_empty(), "the text goes on: {tokens:?}");
        message
    }

    fn fields(tokens: &mut Vec<String>) -> Self {
        let mut fields = Vec::new();
        while tokens.last().is_some_and(|token| token != "}" && token != "]") {
            let name = tokens.pop().unwrap();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "`{name}` is no field");
            let has_colon = tokens.last().is_some_and(|token| token == ":");
            if has_colon {
                tokens.pop();
            }
            match tokens.pop().unwrap().as_str() {
                "{" => {
                    fields.push((name, Field::Message(Self::fields(tokens))));
                    assert_eq!(tokens.pop().as_deref(), Some("}"));
                }
                "[" if tokens.last().is_some_and(|token| token == "{") => {
                    while tokens.pop().is_some_and(|token| token == "{") {
                        fields.push((name.clone(), Field::Message(Self::fields(tokens))));
                        assert_eq!(tokens.pop().as_deref(), Some("}"));
                    }
                }
                "[" => {
                    let mut items = Vec::new();
                    loop {
                        items.push(tokens.pop().unwrap());
                        match tokens.pop().as_deref() {
                            Some(",") => {}
                            Some("]") => break,
                            other => panic!("`{name}`: expected `,` or `]`, found {other:?}"),
                        }
                    }
                    fields.push((name, Field::List(items)));
                }
                scalar => {
                    assert!(has_colon, "`{name}` has a value without a colon");
                    fields.push((name, Field::Scalar(scalar.into())));
                }
            }
        }
        Self(fields)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&Field> {
        self.0.iter().filter(|(found, _)| found == name).map(|(_, field)| field).collect()
    }

    pub(crate) fn scalar(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [Field::Scalar(value)] => Some(value.trim_matches('"')),
            [] => None,
            ref other => panic!("`{name}` is {other:?}"),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        match self.all(name)[..] {
            [Field::List(items)] => items.iter().map(String::as_str).collect(),
            ref other => panic!("`{name}` is {other:?}"),
        }
    }

    pub(crate) fn message(&self, path: &[&str]) -> &Self {
        path.iter().fold(self, |message, name| match message.all(name)[..] {
            [Field::Message(inner)] => inner,
            ref other => panic!("`{name}` is {other:?}"),
        })
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => rest[1..].find('"').expect("the string ends") + 2,
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ => rest.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(rest.len()),
        };
        assert!(len > 0, "no token at `{rest}`");
        tokens.push(rest[..len].to_owned());
        rest = rest[len..].trim_start();
    }
    tokens
}
