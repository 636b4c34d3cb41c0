//! The messages of `google.protobuf` that JSON has other forms for than maps of their fields.

use prost_reflect::{Kind, MessageDescriptor};

use super::super::scalar::{LEN, Scalar};
use super::super::tape::Token;
use super::super::value;
use super::super::{Failure, Field, Taken, WellKnown, resolve_any, shown, time};
use super::Encoder;

/// The fields of `google.protobuf.Value`.
const NULL: u32 = 1;
const NUMBER: u32 = 2;
const STRING: u32 = 3;
const BOOL: u32 = 4;
const STRUCT: u32 = 5;
const LIST: u32 = 6;

impl Encoder<'_> {
    pub(super) fn well_known(&mut self, known: WellKnown, message: &MessageDescriptor, at: usize) -> Taken<()> {
        match known {
            WellKnown::Any => self.any(message, at),
            WellKnown::Timestamp => {
                let time = time::read_timestamp(self.text(message, at)?);
                self.time(time, "2006-01-02T15:04:05Z, from the year 1 to 9999")
            }
            WellKnown::Duration => {
                let time = time::read_duration(self.text(message, at)?);
                self.time(time, "1.5s, up to 10000 years")
            }
            WellKnown::FieldMask => {
                for path in self.text(message, at)?.split(',').filter(|path| !path.is_empty()) {
                    let spelled = snake_case(path)
                        .ok_or_else(|| Failure::new(format!("{} is no path of a field mask", shown(path))))?;
                    self.scalar(1, &Kind::String, &Scalar::Str(&spelled));
                }
                Ok(())
            }
            WellKnown::Struct => self.object(at),
            WellKnown::List => self.values(at),
            WellKnown::Value => self.value(at),
            WellKnown::Wrapper | WellKnown::Empty => {
                let field = Field::numbered(message, 1)
                    .ok_or_else(|| Failure::new(format!("the schema has another {}", message.full_name())))?;
                let value = value::scalar(self.tape, at, &field.kind(), self.care)?;
                if !value.is_default() {
                    self.scalar(1, &field.kind(), &value);
                }
                Ok(())
            }
        }
    }

    fn time(&mut self, time: Option<(i64, i64)>, form: &str) -> Taken<()> {
        let (seconds, nanos) = time.ok_or_else(|| Failure::new(format!("this is not of the form {form}")))?;
        for (number, kind, value) in [(1, Kind::Int64, seconds), (2, Kind::Int32, nanos)] {
            if value != 0 {
                self.scalar(number, &kind, &Scalar::Signed(value));
            }
        }
        Ok(())
    }

    fn any(&mut self, message: &MessageDescriptor, at: usize) -> Taken<()> {
        let entries = self.entries(at, message)?;
        let is_key =
            |key: usize, name: &str| matches!(self.tape.token(key), Token::Str(run) if self.tape.text(run) == name);
        let mut types = entries.iter().filter(|(key, _)| is_key(*key, "@type"));
        let url = match (types.next(), types.next()) {
            (Some((_, value)), None) => self.text(message, *value)?,
            (Some(_), Some(_)) => return Err(Failure::new("the key \"@type\" is there twice")),
            (None, _) if entries.is_empty() => return Ok(()),
            (None, _) => return Err(Failure::new("it has no \"@type\", and could be anything")),
        };
        let inner = resolve_any(message, url)?;
        let url = Scalar::Str(url);
        let value = if WellKnown::of(&inner).is_some() {
            match entries.iter().find(|(key, _)| is_key(*key, "value")) {
                Some((_, value)) if entries.len() == 2 => Some(*value),
                _ => return Err(Failure::new("beside its \"@type\" it has to have a \"value\", and nothing else")),
            }
        } else {
            None
        };
        self.out.tag(1, LEN);
        url.put(&Kind::String, &mut self.out.bytes);
        self.out.tag(2, LEN);
        let open = self.out.open();
        match value {
            Some(value) => self.message(&inner, value).map_err(|failure| failure.within(".value".to_owned()))?,
            None => self.fields(&inner, at, true)?,
        }
        self.out.close(open);
        Ok(())
    }

    /// Writes a value of JSON.
    fn value(&mut self, at: usize) -> Taken<()> {
        let token = self.tape.token(at);
        match token {
            Token::Null => self.scalar(NULL, &Kind::Int32, &Scalar::Signed(0)),
            Token::Bool(value) => self.scalar(BOOL, &Kind::Bool, &Scalar::Bool(value)),
            Token::Str(run) => {
                let text = Scalar::Str(self.tape.text(run));
                self.scalar(STRING, &Kind::String, &text);
            }
            Token::Seq(_) | Token::Map(_) => {
                let is_map = matches!(token, Token::Map(_));
                self.out.tag(if is_map { STRUCT } else { LIST }, LEN);
                let open = self.out.open();
                if is_map {
                    self.object(at)?;
                } else {
                    self.values(at)?;
                }
                self.out.close(open);
            }
            Token::Bytes(_) | Token::End => {
                return Err(Failure::new("this is binary, and the schema says a value that JSON has"));
            }
            Token::Unsigned(_) | Token::Signed(_) | Token::F32(_) | Token::F64(_) | Token::Number(_) => {
                let value = value::scalar(self.tape, at, &Kind::Double, self.care)?;
                if matches!(value, Scalar::F64(value) if !value.is_finite()) {
                    return Err(Failure::new("this is no number that JSON has, as the schema demands"));
                }
                self.scalar(NUMBER, &Kind::Double, &value);
            }
        }
        Ok(())
    }

    /// Writes the elements of an array as those of a `ListValue`.
    fn values(&mut self, at: usize) -> Taken<()> {
        let Token::Seq(end) = self.tape.token(at) else {
            return Err(Failure::new("this is no array, and the schema says google.protobuf.ListValue"));
        };
        let mut element = at + 1;
        let mut place = 0_u64;
        while element < end as usize {
            self.out.tag(1, LEN);
            let open = self.out.open();
            self.value(element).map_err(|failure| failure.within(format!("[{place}]")))?;
            self.out.close(open);
            element = self.tape.after(element);
            place += 1;
        }
        Ok(())
    }

    /// Writes the entries of a map as those of a `Struct`, in the order of their keys.
    fn object(&mut self, at: usize) -> Taken<()> {
        let Token::Map(end) = self.tape.token(at) else {
            return Err(Failure::new("this is no map, and the schema says google.protobuf.Struct"));
        };
        let mut entries = Vec::new();
        let mut key = at + 1;
        while key < end as usize {
            let Token::Str(name) = self.tape.token(key) else {
                return Err(Failure::new("a key is no string, and a google.protobuf.Struct has only those"));
            };
            let value = self.tape.after(key);
            entries.push((self.tape.text(name), value));
            key = self.tape.after(value);
        }
        entries.sort_by_key(|(name, _)| *name);
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Failure::new(format!("the key {} is there twice", shown(pair[0].0))));
        }
        for (name, value) in entries {
            self.out.tag(1, LEN);
            let entry = self.out.open();
            self.scalar(1, &Kind::String, &Scalar::Str(name));
            self.out.tag(2, LEN);
            let open = self.out.open();
            self.value(value).map_err(|failure| failure.within(format!("[{}]", shown(name))))?;
            self.out.close(open);
            self.out.close(entry);
        }
        Ok(())
    }
}

/// `user.displayName` as `user.display_name`, if that is how it comes back.
fn snake_case(path: &str) -> Option<String> {
    let mut spelled = String::new();
    for letter in path.chars() {
        match letter {
            '_' => return None,
            'A'..='Z' => {
                spelled.push('_');
                spelled.push(letter.to_ascii_lowercase());
            }
            letter => spelled.push(letter),
        }
    }
    Some(spelled)
}
