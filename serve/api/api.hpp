// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// What the page asks for (docs/formats/page-api.md). Everything behind /api/ that has passed the gate comes here.
#include <filesystem>
#include <functional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "collector/control/protocol.hpp"
#include "collector/snapshot.hpp"
#include "serve/api/alert_log.hpp"
#include "serve/api/stream_facts.hpp"
#include "serve/api/tile_cache.hpp"
#include "serve/http/message.hpp"
#include "serve/index/store_index.hpp"

namespace undercroft::serve {

/// The collector that writes the store, as far as it can be reached.
struct CollectorLink {
    /// Null: sensors cannot be commanded. Throws std::runtime_error that says why it failed.
    std::function<collector::ControlReply(collector::ControlCall const&)> command;
    /// Null: its own figures are not known.
    std::function<collector::CollectorSnapshot()> figures;
};

struct ApiOptions {
    CollectorLink link;
    std::filesystem::path layouts; ///< FOLDER/<machine>-<source>.json, as `sfdisk --json` prints; empty: none
    std::size_t tile_cache_bytes = std::size_t{64} << 20;
};

class Api {
public:
    Api(StoreIndex& index, ApiOptions options);

    [[nodiscard]] Reply operator()(Request const& request);

private:
    [[nodiscard]] Reply state() const;
    [[nodiscard]] Reply stream(Target const& target);
    [[nodiscard]] Reply tile(Target const& target);
    [[nodiscard]] Reply features(Target const& target) const;
    [[nodiscard]] Reply records(Target const& target) const;
    [[nodiscard]] Reply alerts(Target const& target);
    [[nodiscard]] Reply scores(Target const& target) const;
    [[nodiscard]] Reply block(Target const& target) const;
    [[nodiscard]] Reply content(Target const& target) const;
    [[nodiscard]] Reply pages(Target const& target) const;
    [[nodiscard]] Reply control(Request const& request) const;

    StoreIndex& index_;
    ApiOptions options_;
    TileCache tiles_;
    AlertLog alerts_;
    FactsCache facts_;
};

/// A request that the page would not send; the text goes back with status 400.
struct BadRequest : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// What was asked for is not there; 404.
struct NotFound : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Parameters `machine` and `boot`. Throws BadRequest, NotFound.
[[nodiscard]] std::shared_ptr<BootIndex> boot_of(StoreIndex const& index, Target const& target);
/// Parameter `stream`. Throws BadRequest.
[[nodiscard]] analysis::StreamName stream_of(Target const& target);
/// A whole number that must be there and within bounds. Throws BadRequest.
[[nodiscard]] std::int64_t need(Target const& target, char const* name, std::int64_t least, std::int64_t most);
/// Parameter `source`; nothing: all.
[[nodiscard]] std::optional<std::uint16_t> source_of(Target const& target);
[[nodiscard]] Reply json_reply(nlohmann::json const& body);

} // namespace undercroft::serve
