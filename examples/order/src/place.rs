//! Where something is at AWS: a name, with a region and an endpoint where they are not found in the environment.

use std::fmt;
use std::str::FromStr;

/// `NAME?region=REGION&endpoint=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, options) = text.split_once('?').unwrap_or((text, ""));
        let mut place = Self { name: name.to_owned(), region: None, endpoint: None };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("region", region)) if !region.is_empty() => place.region = Some(region.to_owned()),
                Some(("endpoint", url)) if url.starts_with("http://") || url.starts_with("https://") => {
                    place.endpoint = Some(url.to_owned());
                }
                _ => {
                    return Err(format!(
                        "{option:?} is no option: there are region=REGION and endpoint=URL, as in {name}?region=eu-central-1"
                    ));
                }
            }
        }
        Ok(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let region = self.region.iter().map(|region| format!("region={region}"));
        let endpoint = self.endpoint.iter().map(|url| format!("endpoint={url}"));
        let options: Vec<String> = region.chain(endpoint).collect();
        if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
    }
}
