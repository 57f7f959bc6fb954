// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// The one table of features: name, unit, formula, source, and how each is computed from a window's totals.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/features/extractor.hpp"
#include "analysis/features/totals.hpp"

namespace undercroft::analysis {

/// Raised when the meaning of any feature changes: a model trained on another version is refused.
inline constexpr int catalogue_version = 2;

/// What must be recorded for the feature to mean anything.
enum class Needs : std::uint8_t { reads, writes, entropy, memory };

struct Feature {
    std::string_view name;
    std::string_view unit;
    std::string_view formula;
    std::string_view source;
    Needs needs;
    bool of_the_machine; ///< depends on the disk's speed, size or layout, not on what the program does
    double (*value)(WindowTotals const&);
};

[[nodiscard]] std::span<Feature const> catalogue();
/// Null when there is none of that name.
[[nodiscard]] Feature const* find_feature(std::string_view name);

enum class FeatureSet : std::uint8_t {
    ransap,       ///< RanSAP's five
    ransap_reads, ///< the two of them that reads give
    ransmap,      ///< RanSMAP's 23
    rich,         ///< everything of storage that does not depend on the machine
    reads,        ///< of these, what reads alone give
    payload_free, ///< of these, what does not need entropy
    storage,      ///< everything of storage
};
[[nodiscard]] std::string_view to_string(FeatureSet set);
/// Throws Error that lists the names.
[[nodiscard]] FeatureSet feature_set_of(std::string_view name);
[[nodiscard]] std::vector<Feature const*> features_of(FeatureSet set);
/// ExtractorOptions::sums_only gives all of the set's features.
[[nodiscard]] constexpr bool needs_sums_only(FeatureSet set)
{
    return set == FeatureSet::ransap || set == FeatureSet::ransap_reads || set == FeatureSet::ransmap;
}

/// One column of a model's input: a feature over one of the windows.
struct FeatureColumn {
    Feature const* feature{};
    std::size_t window{}; ///< index in ExtractorOptions::windows_ns

    [[nodiscard]] float value(WindowRow const& row) const
    {
        return static_cast<float>(feature->value(row.windows[window]));
    }
};
/// "name@10s"; windows that are no whole seconds in milliseconds ("name@100ms").
[[nodiscard]] std::string column_name(FeatureColumn const& column, std::span<std::int64_t const> windows_ns);

} // namespace undercroft::analysis
