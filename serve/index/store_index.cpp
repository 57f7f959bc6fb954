// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "serve/index/store_index.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "analysis/read/error.hpp"

namespace undercroft::serve {
namespace fs = std::filesystem;
namespace {

constexpr auto look_interval = std::chrono::milliseconds{300};
constexpr int builder_nice = 10; ///< requests come first

fs::file_time_type written(analysis::Boot const& boot)
{
    std::error_code ignored;
    auto time = fs::last_write_time(boot.folder / "hello.json", ignored);
    if (!boot.files.empty())
        time = std::max(time, fs::last_write_time(boot.files.back().path, ignored));
    return time;
}

bool lies_within(analysis::RecordFile const& inner, analysis::RecordFile const& outer)
{
    return inner.first_sequence >= outer.first_sequence && inner.last_sequence <= outer.last_sequence;
}

using Indexes = std::vector<std::shared_ptr<FileIndex const>>;

bool same_file(analysis::RecordFile const& a, analysis::RecordFile const& b)
{
    return a.path == b.path && a.bytes == b.bytes;
}

/// What there is of the files now. For a larger file that compaction has made, those that it was made of serve until it
/// has an index of its own.
Indexes assemble(std::vector<analysis::RecordFile> const& files, Indexes const& have, Indexes const& known)
{
    Indexes now;
    for (std::size_t i = 0; i < files.size(); ++i) {
        if (have[i])
            now.push_back(have[i]);
        else
            std::ranges::copy_if(known, std::back_inserter(now),
                                 [&](auto const& index) { return lies_within(index->file, files[i]); });
    }
    return now;
}

} // namespace

StoreIndex::StoreIndex(StoreIndexOptions options)
    : options_{std::move(options)}, cache_{options_.row_cache_bytes}, thread_{[this] { run(); }}
{
}

StoreIndex::~StoreIndex()
{
    {
        std::scoped_lock const lock{mutex_};
        stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

bool StoreIndex::stopping() const
{
    std::scoped_lock const lock{mutex_};
    return stopping_;
}

std::vector<std::shared_ptr<BootIndex>> StoreIndex::boots() const
{
    std::scoped_lock const lock{mutex_};
    std::vector<std::shared_ptr<BootIndex>> all;
    for (auto const& [name, boot] : boots_)
        all.push_back(boot);
    return all;
}

std::shared_ptr<BootIndex> StoreIndex::find(BootName const& name) const
{
    std::scoped_lock const lock{mutex_};
    auto const found = boots_.find(name);
    return found == boots_.end() ? nullptr : found->second;
}

bool StoreIndex::has_problem(fs::path const& file) const
{
    std::scoped_lock const lock{mutex_};
    return problems_.contains(file.string());
}

std::vector<std::string> StoreIndex::problems() const
{
    std::scoped_lock const lock{mutex_};
    std::vector<std::string> texts;
    for (auto const& [file, text] : problems_)
        texts.push_back(text);
    return texts;
}

void StoreIndex::set_problem(std::string const& name, std::string const& text)
{
    std::scoped_lock const lock{mutex_};
    problems_[name] = text;
}

void StoreIndex::run()
{
    static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), builder_nice));
    while (!stopping()) {
        std::string const store = options_.store.string();
        try {
            look();
            std::scoped_lock const lock{mutex_};
            problems_.erase(store);
        } catch (std::exception const& error) {
            std::scoped_lock const lock{mutex_};
            problems_[store] = error.what();
        }
        std::unique_lock lock{mutex_};
        wake_.wait_for(lock, look_interval, [this] { return stopping_; });
    }
}

void StoreIndex::look()
{
    std::vector<analysis::Boot> found = analysis::list_boots(options_.store, "", "");
    {
        std::scoped_lock const lock{mutex_};
        std::map<BootName, std::shared_ptr<BootIndex>> now;
        for (analysis::Boot const& boot : found) {
            BootName const name{.machine = boot.machine, .boot = boot.id};
            auto const known = boots_.find(name);
            now[name] = known != boots_.end() ? known->second : std::make_shared<BootIndex>(boot, cache_);
        }
        boots_ = std::move(now);
        std::erase_if(problems_, [](auto const& problem) {
            return fs::path{problem.first}.is_absolute() && !fs::exists(problem.first);
        });
    }
    std::ranges::sort(found, std::ranges::greater{}, written);
    for (analysis::Boot const& boot : found) {
        auto const index = find({.machine = boot.machine, .boot = boot.id});
        follow(*index, index->storage, boot.files);
        follow(*index, index->memory, boot.memory_files);
    }
}

fs::path StoreIndex::index_path(BootIndex const& boot, analysis::RecordFile const& file) const
{
    return options_.folder / ("machine=" + boot.boot.machine) / ("boot=" + boot.boot.id) /
           (file.stream == analysis::StreamName::memory ? "memory" : "storage") /
           (file.path.stem().string() + ".cells");
}

std::shared_ptr<FileIndex const> StoreIndex::obtain(fs::path const& path, analysis::RecordFile const& file,
                                                    RowBefore const& before, bool may_build)
{
    try {
        std::shared_ptr<FileIndex const> index = FileIndex::load(path, file);
        if (!index && may_build)
            index = FileIndex::build(path, file, before, [this] { return stopping(); });
        std::scoped_lock const lock{mutex_};
        problems_.erase(file.path.string());
        return index;
    } catch (std::exception const& error) {
        std::scoped_lock const lock{mutex_};
        problems_[file.path.string()] = error.what();
        return nullptr;
    }
}

/// First what has an index already, so that the page has something soon; then one file after the other.
void StoreIndex::follow(BootIndex& boot, StreamIndex& stream, std::vector<analysis::RecordFile> const& files)
{
    Indexes const known = stream.view().files;
    Indexes have(files.size());
    auto const before = [&](std::size_t i) {
        return i > 0 && have[i - 1] ? have[i - 1]->facts.final_row : RowBefore{};
    };
    auto const publish = [&] {
        stream.publish(assemble(files, have, known), static_cast<std::uint64_t>(std::ranges::count(have, nullptr)));
    };
    for (std::size_t i = 0; i < files.size(); ++i) {
        auto const old =
            std::ranges::find_if(known, [&](auto const& index) { return same_file(index->file, files[i]); });
        have[i] = old != known.end() ? *old : obtain(index_path(boot, files[i]), files[i], before(i), false);
    }
    publish();
    for (std::size_t i = 0; i < files.size() && !stopping(); ++i) {
        if (have[i] || has_problem(files[i].path))
            continue;
        have[i] = obtain(index_path(boot, files[i]), files[i], before(i), true);
        publish();
    }
    bool const complete = std::ranges::count(have, nullptr) == 0;
    for (auto const& index : known) {
        std::error_code ignored;
        if (complete && std::ranges::find(have, index) == have.end())
            fs::remove(index_path(boot, index->file), ignored);
    }
}

} // namespace undercroft::serve
