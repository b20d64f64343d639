//! Bars as the page draws them: where each begins and ends, in per cent of the axis, and what is written beside it.
//!
//! They are plain elements with a width, so that they need no script, take the page's colours and print as they look.

use serde::Serialize;

use super::Chart;
use super::number::{THIN, beside_title, digits, scale};

/// From this ratio of the largest to the least on, the axis is logarithmic: a linear one would show the small ones as nothing.
const LOGARITHMIC_FROM: f64 = 50.0;

/// One chart of bars.
#[derive(Debug, Serialize)]
pub(super) struct Bars {
    title: String,
    unit: String,
    logarithmic: bool,
    /// Whether others stand beside the product's own, which is then the one to look at.
    beside: bool,
    /// Names of the series, in the order of their colours; none where there is but one.
    series: Vec<String>,
    categories: Vec<Category>,
    ticks: Vec<Tick>,
}

#[derive(Debug, Serialize)]
struct Category {
    label: String,
    /// Whether it is the product's own.
    ours: bool,
    bars: Vec<Bar>,
}

#[derive(Debug, Serialize)]
struct Bar {
    series: String,
    /// The number of its colour.
    colour: usize,
    /// None: nothing was measured.
    percent: Option<String>,
    /// Least and most, as percentages: where the whisker begins and how long it is.
    whisker: Option<(String, String)>,
    value: String,
    spread: String,
}

#[derive(Debug, Serialize)]
struct Tick {
    percent: String,
    text: String,
}

struct Axis {
    least: f64,
    most: f64,
    logarithmic: bool,
}

/// Lays a chart of bars out.
pub(super) fn bars(chart: &Chart) -> Bars {
    let axis = Axis::of(chart);
    let (factor, unit) = scale(axis.most, &chart.unit);
    let written = |value: f64| digits(value * factor, THIN);
    let one = chart.series.len() == 1;
    let category = |place: usize, label: &String| Category {
        label: label.clone(),
        ours: label.starts_with("Staffetta"),
        bars: (chart.series.iter().enumerate())
            .map(|(number, series)| {
                let value = series.values.get(place).copied().flatten();
                let spread = series.spread.get(place).filter(|_| value.is_some());
                Bar {
                    series: if one { String::new() } else { series.name.clone() },
                    colour: number,
                    percent: value.map(|value| percent(axis.place(value))),
                    whisker: spread.map(|(least, most)| {
                        let (from, to) = (axis.place(*least), axis.place(*most));
                        (percent(from), percent(to - from))
                    }),
                    value: written(value.unwrap_or(f64::NAN)),
                    spread: spread.map_or(String::new(), |(least, most)| {
                        format!("{}–{}", written(*least), written(*most))
                    }),
                }
            })
            .collect(),
    };
    let categories: Vec<Category> = (chart.labels.iter().enumerate())
        .map(|(place, label)| category(place, label))
        .collect();
    let ticks = axis.ticks().into_iter().map(|value| Tick {
        percent: percent(axis.place(value)),
        text: written(value),
    });
    Bars {
        title: chart.title.clone(),
        unit: beside_title(&unit),
        logarithmic: axis.logarithmic,
        beside: categories.iter().any(|category| category.ours),
        series: chart
            .series
            .iter()
            .filter(|_| !one)
            .map(|series| series.name.clone())
            .collect(),
        categories,
        ticks: ticks.collect(),
    }
}

impl Axis {
    fn of(chart: &Chart) -> Self {
        let values = chart.series.iter().flat_map(|series| series.values.iter().flatten());
        let ends = chart
            .series
            .iter()
            .flat_map(|series| series.spread.iter())
            .flat_map(|(least, most)| [least, most]);
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.chain(ends).filter(|value| **value > 0.0 && value.is_finite()) {
            least = least.min(*value);
            most = most.max(*value);
        }
        if most == 0.0 {
            return Self {
                least: 0.0,
                most: 1.0,
                logarithmic: false,
            };
        }
        let logarithmic = most / least > LOGARITHMIC_FROM;
        Self {
            // Half a decade below the least, so that its bar has a length.
            least: if logarithmic {
                10_f64.powf((least.log10() - 0.5).floor())
            } else {
                0.0
            },
            most,
            logarithmic,
        }
    }

    /// Returns where a value stands, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(self.least) / self.least).log10() / (self.most / self.least).log10()
        } else {
            value / self.most
        };
        place.clamp(0.0, 1.0)
    }

    /// Returns the round numbers within.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = std::iter::successors(Some(self.least), |tick| Some(tick * 10.0));
            return decades.take_while(|tick| *tick <= self.most * 1.001).collect();
        }
        let rough = self.most / 4.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = decade
            * round
                .into_iter()
                .find(|step| decade * step >= rough * 0.999)
                .unwrap_or(10.0);
        std::iter::successors(Some(0.0), |tick| Some(tick + step))
            .take_while(|tick| *tick <= self.most * 1.001)
            .collect()
    }
}

fn percent(place: f64) -> String {
    format!("{:.2}%", place * 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::{ChartKind, Series};
    use super::*;

    fn chart(values: &[f64]) -> Chart {
        Chart {
            group: String::new(),
            title: "CPU".to_owned(),
            unit: "s".to_owned(),
            kind: ChartKind::Bars,
            x: Vec::new(),
            labels: values.iter().map(f64::to_string).collect(),
            series: vec![Series {
                name: "plain".to_owned(),
                values: values.iter().copied().map(Some).collect(),
                spread: Vec::new(),
            }],
        }
    }

    fn lengths(values: &[f64]) -> Vec<String> {
        let bars = bars(&chart(values));
        bars.categories
            .iter()
            .map(|category| category.bars[0].percent.clone().unwrap())
            .collect()
    }

    #[test]
    fn lengths_are_as_the_values_unless_these_are_worlds_apart() {
        assert_eq!(lengths(&[1.0, 2.0, 4.0]), ["25.00%", "50.00%", "100.00%"]);
        assert!(!bars(&chart(&[1.0, 50.0])).logarithmic);
        assert!(bars(&chart(&[1.0, 51.0])).logarithmic);
        assert_eq!(lengths(&[1.0, 10.0, 100.0]), ["33.33%", "66.67%", "100.00%"]);
        assert_eq!(lengths(&[0.0, 0.0]), ["0.00%", "0.00%"]);
        let ticks: Vec<String> = bars(&chart(&[3.9])).ticks.into_iter().map(|tick| tick.text).collect();
        assert_eq!(ticks, ["0", "1", "2", "3"]);
    }
}
