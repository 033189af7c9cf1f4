//! A command line as data, so that one program can complete and document the flags of another.

use std::env;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, Parser, ValueHint};
use serde::{Deserialize, Serialize};

/// The argument that asks a program for its [`Description`] as JSON.
pub const DESCRIBE: &str = "--describe-command-line";

/// The commands and flags of a program.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    name: String,
    version: Option<String>,
    about: Option<String>,
    long_about: Option<String>,
    arguments: Vec<Argument>,
    commands: Vec<Self>,
}

/// A flag or a positional argument.
#[derive(Debug, Serialize, Deserialize)]
struct Argument {
    id: String,
    short: Option<char>,
    long: Option<String>,
    help: Option<String>,
    long_help: Option<String>,
    heading: Option<String>,
    value_names: Vec<String>,
    values: Vec<Value>,
    defaults: Vec<String>,
    takes_value: bool,
    repeats: bool,
    required: bool,
    global: bool,
    is_path: bool,
}

/// A value that an argument may have.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    name: String,
    help: Option<String>,
}

/// Reads the command line of a program; ends the program if it is wrong, or asks for help or for a
/// [`Description`].
pub fn parse<A: Parser>() -> A {
    if env::args_os().skip(1).eq([DESCRIBE]) {
        let description = serde_json::to_string(&Description::new(&A::command()));
        let printed = description.map_err(Into::into).and_then(|json| crate::print_json(&json));
        std::process::exit(i32::from(printed.is_err()));
    }
    A::parse()
}

impl Description {
    /// Describes a command line without its hidden parts.
    pub fn new(command: &Command) -> Self {
        let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
        Self {
            name: command.get_name().to_owned(),
            version: command.get_version().map(Into::into),
            about: command.get_about().map(ToString::to_string),
            long_about: command.get_long_about().map(ToString::to_string),
            arguments: arguments.map(Argument::new).collect(),
            commands: commands.map(Self::new).collect(),
        }
    }

    /// Gives the program another name.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Takes out the commands of a program.
    pub fn into_commands(self) -> Vec<Self> {
        self.commands
    }

    /// Makes a command line with the same names and help. It is for listing only: it checks no
    /// values.
    pub fn into_command(self) -> Command {
        let mut command = Command::new(self.name);
        if let Some(version) = self.version {
            command = command.version(version);
        }
        if let Some(about) = self.about {
            command = command.about(about);
        }
        if let Some(about) = self.long_about {
            command = command.long_about(about);
        }
        command
            .args(self.arguments.into_iter().map(Argument::into_arg))
            .subcommands(self.commands.into_iter().map(Self::into_command))
    }
}

impl Argument {
    fn new(argument: &Arg) -> Self {
        let takes_value = argument.get_action().takes_values();
        let values = argument.get_possible_values().into_iter().filter(|value| takes_value && !value.is_hide_set());
        Self {
            id: argument.get_id().to_string(),
            short: argument.get_short(),
            long: argument.get_long().map(Into::into),
            help: argument.get_help().map(ToString::to_string),
            long_help: argument.get_long_help().map(ToString::to_string),
            heading: argument.get_help_heading().map(Into::into),
            value_names: argument.get_value_names().into_iter().flatten().map(ToString::to_string).collect(),
            values: values.map(Value::new).collect(),
            defaults: argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect(),
            takes_value,
            repeats: matches!(argument.get_action(), ArgAction::Append),
            required: argument.is_required_set(),
            global: argument.is_global_set(),
            is_path: argument.get_value_hint() == ValueHint::AnyPath,
        }
    }

    fn into_arg(self) -> Arg {
        let action = match (self.takes_value, self.repeats) {
            (false, _) => ArgAction::SetTrue,
            (true, false) => ArgAction::Set,
            (true, true) => ArgAction::Append,
        };
        let mut arg = Arg::new(self.id).action(action).required(self.required).global(self.global);
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        if let Some(long) = self.long {
            arg = arg.long(long);
        }
        if let Some(help) = self.help {
            arg = arg.help(help);
        }
        if let Some(help) = self.long_help {
            arg = arg.long_help(help);
        }
        if let Some(heading) = self.heading {
            arg = arg.help_heading(heading);
        }
        if !self.takes_value {
            return arg;
        }
        if !self.value_names.is_empty() {
            arg = arg.value_names(self.value_names);
        }
        if !self.values.is_empty() {
            arg = arg.value_parser(PossibleValuesParser::new(self.values.into_iter().map(Value::into_value)));
        }
        if self.is_path {
            arg = arg.value_hint(ValueHint::AnyPath);
        }
        arg.default_values(self.defaults)
    }
}

impl Value {
    fn new(value: clap::builder::PossibleValue) -> Self {
        Self { name: value.get_name().into(), help: value.get_help().map(ToString::to_string) }
    }

    fn into_value(self) -> clap::builder::PossibleValue {
        let value = clap::builder::PossibleValue::new(self.name);
        match self.help {
            Some(help) => value.help(help),
            None => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::{CommandFactory, Subcommand, ValueEnum};

    use super::*;

    /// Do things.
    ///
    /// Several of them.
    #[derive(Parser)]
    #[command(name = "doer", version = "1.2.3")]
    struct Doer {
        /// Say more
        #[arg(short, long, global = true)]
        verbose: bool,
        /// The way to do it
        #[arg(long, value_enum, default_value_t = Way::Slow, help_heading = "Ways")]
        way: Way,
        #[command(subcommand)]
        command: Option<Verb>,
    }

    #[derive(Clone, Copy, ValueEnum)]
    enum Way {
        /// With care
        Slow,
        Fast,
    }

    #[derive(Subcommand)]
    enum Verb {
        /// Do one thing
        One {
            /// The files
            #[arg(required = true, value_name = "FILE")]
            files: Vec<PathBuf>,
            /// Numbers
            #[arg(long, value_name = "N", value_delimiter = ',')]
            numbers: Vec<u32>,
        },
        #[command(hide = true)]
        Secret,
    }

    /// Returns the help of the verb `one`.
    fn one(mut command: Command) -> String {
        command.build();
        command.find_subcommand_mut("one").unwrap().render_long_help().to_string()
    }

    #[test]
    fn a_command_line_made_from_its_description_has_the_same_help() {
        let json = serde_json::to_string(&Description::new(&Doer::command())).unwrap();
        let rebuilt = || serde_json::from_str::<Description>(&json).unwrap().into_command();
        assert_eq!(rebuilt().render_long_help().to_string(), Doer::command().render_long_help().to_string());
        assert_eq!(one(rebuilt()), one(Doer::command()));
        assert!(!json.contains("secret"), "{json}");
    }
}
