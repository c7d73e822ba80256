//! How rows choose experts, and what of it a kernel can do.

/// Experts at most.
pub const MOST_EXPERTS: usize = 512;
/// Experts that a row goes to, and groups of experts, at most.
pub const MOST_SLOTS: usize = 32;
/// How scores are made of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scoring {
    /// A softmax over all experts.
    Softmax,
    /// A sigmoid of each.
    Sigmoid,
}

/// Only experts of the best groups are chosen (DeepSeek). Groups are runs of experts of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExpertGroups {
    /// How many groups: divides the experts.
    pub count: usize,
    /// How many of them a row may choose from.
    pub kept: usize,
    /// What ranks them.
    pub by: GroupScore,
}

/// What ranks a group of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupScore {
    /// Its best expert (DeepSeek-V2).
    Best,
    /// The sum of its two best (DeepSeek-V3).
    BestTwo,
}

/// How rows choose experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Routing {
    /// Experts in all: at most [`MOST_EXPERTS`].
    pub experts: usize,
    /// Experts that a row goes to: at most [`MOST_SLOTS`].
    pub slots: usize,
    /// How scores are made.
    pub scoring: Scoring,
    /// Whether only some groups are chosen from.
    pub groups: Option<ExpertGroups>,
    /// Whether a row's weights are divided by their sum.
    pub normalised: bool,
    /// Factor on weights.
    pub scale: f32,
}

/// Why experts can't be chosen so.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// Too many.
    #[error(
        "{experts} experts, {slots} for each token: at most {MOST_EXPERTS} and {MOST_SLOTS} are possible"
    )]
    TooMany {
        /// Experts in all.
        experts: usize,
        /// Experts that a row goes to.
        slots: usize,
    },
    /// Groups that don't divide the experts, or too few experts in those that are kept.
    #[error("{kept} of {groups} groups of {experts} experts can't give {slots} experts to a token")]
    Groups {
        /// Groups in all.
        groups: usize,
        /// Groups to choose from.
        kept: usize,
        /// Experts in all.
        experts: usize,
        /// Experts that a row goes to.
        slots: usize,
    },
}

impl Routing {
    /// The routing, if a kernel can do it. Asked at load.
    ///
    /// # Errors
    /// What it can't do.
    pub fn checked(self) -> Result<Routing, RoutingError> {
        let Routing { experts, slots, .. } = self;
        if experts > MOST_EXPERTS || slots > MOST_SLOTS || slots > experts {
            return Err(RoutingError::TooMany { experts, slots });
        }
        if let Some(ExpertGroups { count, kept, .. }) = self.groups {
            let fits = (1..=MOST_SLOTS).contains(&count)
                && experts.is_multiple_of(count)
                && kept <= count
                && kept * (experts / count) >= slots;
            if !fits {
                return Err(RoutingError::Groups { groups: count, kept, experts, slots });
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_kernel_routes_is_refused_with_its_numbers() {
        let routing = Routing {
            experts: 256,
            slots: 8,
            scoring: Scoring::Sigmoid,
            groups: Some(ExpertGroups { count: 8, kept: 4, by: GroupScore::BestTwo }),
            normalised: true,
            scale: 2.5,
        };
        assert_eq!(routing.checked(), Ok(routing));
        let refused = |routing: Routing| routing.checked().unwrap_err().to_string();
        assert!(refused(Routing { experts: 513, ..routing }).contains("at most 512 and 32"));
        assert!(refused(Routing { slots: 33, ..routing }).contains("33 for each token"));
        let groups = |count, kept| Some(ExpertGroups { count, kept, by: GroupScore::Best });
        assert!(refused(Routing { groups: groups(7, 4), ..routing }).contains("4 of 7 groups of 256"));
        assert!(refused(Routing { groups: groups(256, 4), ..routing }).contains("256 groups"));
        assert!(refused(Routing { slots: 9, groups: groups(32, 1), ..routing }).contains("9 experts"));
    }
}
