//! Tables of DynamoDB.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;
use nexus_dynamodb::{
    DynamoConfig, DynamoProjections, DynamoSnapshots, DynamoStore, OpenError, TableNames, TableOptions,
    create_tables,
};

use crate::place::Place;
use crate::shop::Shop;

/// `dynamodb://TABLE`, with a region and an endpoint where they are not found in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    names: TableNames,
    place: Place,
}

/// What comes after `dynamodb://`.
impl FromStr for Tables {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place: Place = text.parse()?;
        Ok(Self { names: TableNames::of(&place.name).map_err(|error| error.to_string())?, place })
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb://{}", self.place)
    }
}

impl Tables {
    /// Opens them; where they are not there, they are made.
    pub async fn open(&self) -> anyhow::Result<Shop> {
        match self.open_existing().await? {
            Some(shop) => Ok(shop),
            None => {
                create_tables(&self.config(), &TableOptions::default()).await?;
                self.open_existing().await?.context("the tables that were just made are gone")
            }
        }
    }

    /// Opens them, if they are there.
    pub async fn open_existing(&self) -> anyhow::Result<Option<Shop>> {
        let config = self.config();
        let store = match DynamoStore::open_with(config.clone()).await {
            Err(OpenError::Missing { .. }) => return Ok(None),
            opened => opened?,
        };
        let read_models = DynamoProjections::open_with(config.clone()).await?;
        let snapshots = DynamoSnapshots::open_with(config).await?;
        let feed = store.feed();
        Shop::of_feed(store, feed, std::sync::Arc::new(read_models), snapshots).await.map(Some)
    }

    fn config(&self) -> DynamoConfig {
        let mut config = DynamoConfig::with_tables(self.names.clone());
        if let Some(region) = &self.place.region {
            config = config.region(region);
        }
        if let Some(endpoint) = &self.place.endpoint {
            config = config.endpoint(endpoint);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_name_and_options() {
        for text in ["shop", "shop?region=eu-central-1", "shop?region=x&endpoint=http://127.0.0.1:8000"] {
            let tables: Tables = text.parse().unwrap();
            assert_eq!(tables.to_string(), format!("dynamodb://{text}"));
        }
    }

    #[test]
    fn what_is_no_table_or_option_is_named() {
        for (text, named) in [
            ("", "\"\" cannot name a table"),
            ("a b", "\"a b\" cannot name a table"),
            ("shop?zone=x", "\"zone=x\" is no option"),
            ("shop?region=", "\"region=\" is no option"),
            ("shop?endpoint=127.0.0.1:8000", "\"endpoint=127.0.0.1:8000\" is no option"),
        ] {
            let error = text.parse::<Tables>().unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
