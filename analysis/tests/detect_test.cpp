// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Models and figures. Expected values are worked out by hand or by the definition.
#include <array>
#include <cmath>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "analysis/detect/evaluate.hpp"
#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

using Json = nlohmann::json;

TEST(Metrics, OfAKnownRanking)
{
    // Of 3 * 2 pairs of a hit and a miss, 4 are ordered rightly. Precision at the hits: 1, 2/3, 3/4.
    std::vector<double> const scores{0.9, 0.8, 0.7, 0.6, 0.1};
    std::vector<std::uint8_t> const truth{1, 0, 1, 1, 0};
    EXPECT_DOUBLE_EQ(*roc_auc(scores, truth), 4.0 / 6);
    EXPECT_DOUBLE_EQ(*pr_auc(scores, truth), (1 + 2.0 / 3 + 3.0 / 4) / 3);
    Confusion const at = confusion_at(scores, truth, 0.7);
    EXPECT_EQ(at.true_positives, 2);
    EXPECT_EQ(at.false_positives, 1);
    EXPECT_DOUBLE_EQ(*at.f1(), 2.0 / 3);
    EXPECT_DOUBLE_EQ(*at.false_positive_rate(), 0.5);
}

TEST(Metrics, TiesCountHalfAndOneClassHasNoCurve)
{
    EXPECT_DOUBLE_EQ(*roc_auc(std::vector<double>{0.5, 0.5}, std::vector<std::uint8_t>{1, 0}), 0.5);
    EXPECT_FALSE(roc_auc(std::vector<double>{0.5}, std::vector<std::uint8_t>{1}));
    EXPECT_FALSE(Confusion{}.f1());
    std::vector<double> values{3, 1, 2};
    EXPECT_DOUBLE_EQ(*median_of(values), 2);
    EXPECT_DOUBLE_EQ(interval_of(values)->low, 1.05);
}

/// Two columns; the class is whether the first is above 0, the second is noise, some values are undefined.
TrainingData two_columns(std::uint32_t seed, std::size_t rows)
{
    std::mt19937 random{seed};
    std::normal_distribution<float> normal;
    TrainingData data;
    data.matrix.columns = 2;
    for (std::size_t i = 0; i < rows; ++i) {
        float const x = normal(random);
        std::array const row{x, i % 7 == 0 ? std::nanf("") : normal(random)};
        data.matrix.append(row);
        data.labels.push_back(x > 0 ? 1.0F : 0.0F);
        data.weights.push_back(1);
    }
    return data;
}

TEST(Logistic, FindsTheMaximumLikelihood)
{
    // One column of 0 and 1: of the zeros 1 in 4 is positive, of the ones 3 in 4: log-odds -ln 3 and +ln 3.
    TrainingData data;
    data.matrix.columns = 1;
    for (int i = 0; i < 8; ++i) {
        data.matrix.values.push_back(i < 4 ? 0.0F : 1.0F);
        data.labels.push_back(i == 0 || i > 4 ? 1.0F : 0.0F);
        data.weights.push_back(1);
    }
    auto const margins = Logistic::train(data, 1e-9).margins(Matrix{.columns = 1, .values = {0, 1}});
    EXPECT_NEAR(margins[0], -std::log(3.0), 1e-4);
    EXPECT_NEAR(margins[1], std::log(3.0), 1e-4);
    data.labels.assign(8, 1.0F);
    EXPECT_THROW((void)Logistic::train(data, 1), Error);
}

TEST(Logistic, ContributionsAddUp)
{
    TrainingData const data = two_columns(1, 200);
    Logistic const model = Logistic::train(data, 1);
    auto const margins = model.margins(data.matrix);
    auto const parts = model.contributions(data.matrix);
    for (std::size_t i = 0; i < margins.size(); ++i)
        EXPECT_NEAR(margins[i], parts[3 * i] + parts[3 * i + 1] + parts[3 * i + 2], 1e-4);
}

TEST(Booster, LearnsAndExplains)
{
    TrainingData const data = two_columns(1, 400);
    TrainingData const other = two_columns(2, 200);
    for (BoosterOptions const& options :
         {BoosterOptions{.column_share = 1},
          BoosterOptions{.rounds = 1, .trees_per_round = 50, .depth = 4, .learning_rate = 1, .column_share = 1}}) {
        Booster const model = Booster::train(data, options);
        auto const margins = model.margins(other.matrix);
        auto const parts = model.contributions(other.matrix);
        auto const by_xgboost = model.probabilities(other.matrix);
        std::size_t right = 0;
        double first = 0;
        double second = 0;
        for (std::size_t i = 0; i < margins.size(); ++i) {
            EXPECT_FLOAT_EQ(by_xgboost[i], 1 / (1 + std::exp(-margins[i])));
            right += (margins[i] > 0) == (other.labels[i] > 0.5F) ? 1 : 0;
            EXPECT_NEAR(margins[i], parts[3 * i] + parts[3 * i + 1] + parts[3 * i + 2], 1e-3);
            first += std::abs(static_cast<double>(parts[3 * i]));
            second += std::abs(static_cast<double>(parts[3 * i + 1]));
        }
        EXPECT_GT(right, 190);
        EXPECT_GT(first, 5 * second);
        Booster const again = Booster::from_json(Json::parse(model.to_json().dump()), 2);
        EXPECT_EQ(again.margins(other.matrix), margins);
    }
}

TEST(Booster, HostileTreesAreRefused)
{
    TrainingData const data = two_columns(1, 200);
    Json const good = Booster::train(data, {.rounds = 3, .column_share = 1}).to_json();
    EXPECT_NO_THROW((void)Booster::from_json(good, 2));
    EXPECT_THROW((void)Booster::from_json(good, 3), Error);
    EXPECT_THROW((void)Booster::from_json(Json{}, 2), Error);
    Json::json_pointer const tree{"/learner/gradient_booster/model/trees/0"};
    std::vector<std::pair<std::string, Json>> const changes{{"/left_children/0", 1 << 30},
                                                            {"/left_children/0", 0},
                                                            {"/left_children/0", -5},
                                                            {"/right_children/0", 1},
                                                            {"/split_indices/0", 2},
                                                            {"/split_indices/0", -1},
                                                            {"/split_type/0", 1},
                                                            {"/split_conditions/0", Json{}},
                                                            {"/split_conditions/0", 1e39},
                                                            {"/base_weights", Json::array()},
                                                            {"/parents/1", 77},
                                                            {"/tree_param/num_nodes", "100000"},
                                                            {"/left_children", "x"},
                                                            {"/categories", {1}},
                                                            {"/default_left/0", 7}};
    for (auto const& [place, value] : changes) {
        Json wrong = good;
        wrong[tree / Json::json_pointer{place}] = value;
        EXPECT_THROW((void)Booster::from_json(wrong, 2), Error) << place << " " << value;
    }
    for (char const* const place :
         {"/learner/learner_model_param/num_class", "/learner/learner_model_param/num_feature",
          "/learner/gradient_booster/model/gbtree_model_param/num_trees", "/learner/objective/name",
          "/learner/gradient_booster/name"}) {
        Json wrong = good;
        wrong[Json::json_pointer{place}] = "7";
        EXPECT_THROW((void)Booster::from_json(wrong, 2), Error) << place;
    }
    for (auto const& [place, value] :
         {std::pair<char const*, Json>{"/learner/gradient_booster/model/iteration_indptr/1", 99},
          {"/learner/learner_model_param/base_score", "1"},
          {"/learner/learner_model_param/base_score", "x"}}) {
        Json wrong = good;
        wrong[Json::json_pointer{place}] = value;
        EXPECT_THROW((void)Booster::from_json(wrong, 2), Error) << place;
    }
}

/// A run that reads small files and writes them back (ransomware) or writes elsewhere.
TraceRun make_run(bool ransomware, int number, bool with_writes = true)
{
    TraceRun run;
    run.place.program = ransomware ? "WannaCry" : "Zip";
    run.place.environment = "m";
    run.place.path = "m/" + run.place.program + "/" + std::to_string(number);
    run.place.folder = run.place.path;
    run.has_reads = true;
    run.has_writes = with_writes;
    std::mt19937 random{static_cast<std::uint32_t>(number)};
    std::int64_t time_ns = 1'600'000'000'000'000'000;
    for (int i = 0; i < 1500; ++i) {
        time_ns += 10'000'000 + static_cast<std::int64_t>(random() % 20'000'000);
        std::uint64_t const lba = random() % 10'000'000 * 8;
        auto const pieces = static_cast<std::uint32_t>(ransomware ? 1 + random() % 2 : 4 + random() % 30);
        run.accesses.push_back({.time_ns = time_ns, .address = lba, .bytes = 4096 * pieces, .kind = TraceKind::read});
        if (with_writes)
            run.accesses.push_back({.time_ns = time_ns + 1'000'000,
                                    .address = ransomware ? lba : lba + 1'000'000,
                                    .bytes = 4096,
                                    .entropy = 0.99F,
                                    .kind = TraceKind::write});
    }
    return run;
}

std::vector<RunWindows> make_windows(View const& view, int first)
{
    std::vector<RunWindows> runs;
    for (int i = 0; i < 8; ++i)
        runs.push_back(windows_of(make_run(i % 2 == 0, first + i, !view.reads_only), Labels{}, view));
    return runs;
}

Model make_model(JudgeKind kind, bool reads_only)
{
    View const view =
        make_view(reads_only ? FeatureSet::reads : FeatureSet::rich, reads_only, {10'000'000'000, 60'000'000'000});
    std::vector<RunWindows> const runs = make_windows(view, 1);
    std::vector<RunWindows const*> pointers;
    for (RunWindows const& run : runs)
        pointers.push_back(&run);
    return train_model(pointers, view, {.kind = kind});
}

TEST(Model, EveryKindTellsTheTwoApartAndSurvivesItsFile)
{
    for (JudgeKind const kind : {JudgeKind::anchored, JudgeKind::boosted, JudgeKind::forest, JudgeKind::logistic}) {
        Model const model = make_model(kind, false);
        std::vector<RunWindows> const unseen = make_windows(model.view, 100);
        std::vector<ScoredRun> scored;
        for (RunWindows const& run : unseen)
            scored.push_back(score_run(run, model));
        Json const figures = figures_of(scored, 1);
        EXPECT_GT(figures["f1"].get<double>(), 0.95) << to_string(kind);
        EXPECT_EQ(figures["runs"]["missed"], 0);
        EXPECT_EQ(figures["runs"]["false_alarms"], 0);
        ModelFile file;
        file.models.push_back(make_model(kind, false));
        file.origin = "made up";
        ModelFile const again = ModelFile::from_json(Json::parse(file.to_json().dump()));
        EXPECT_EQ(again.models[0].judge.probabilities(unseen[0].matrix), scored[0].probabilities) << to_string(kind);
        EXPECT_EQ(again.origin, "made up");
    }
}

TEST(Model, FilesThatDoNotFitAreRefused)
{
    ModelFile file;
    file.models.push_back(make_model(JudgeKind::anchored, true));
    EXPECT_NO_THROW((void)file.for_trace(false));
    EXPECT_THROW((void)file.for_trace(true), Error);
    Json const good = file.to_json();
    std::vector<std::pair<std::string, Json>> const changes{
        {"/undercroft_model", good["undercroft_model"].get<int>() + 1},
        {"/catalogue", catalogue_version + 1},
        {"/models", Json::array()},
        {"/origin", 7},
        {"/models/0/view/columns/0/feature", "no_such_feature"},
        {"/models/0/view/columns/0/feature", "write_rate"}, // the view has reads only
        {"/models/0/view/columns/0/window", 2},
        {"/models/0/view/windows_ns/0", 0},
        {"/models/0/view/windows_ns/0", 10'000'000'001}, // no common part with the step
        {"/models/0/view/step_ns", -1},
        {"/models/0/view/columns", Json::array()},
        {"/models/0/threshold", 1.5},
        {"/models/0/consecutive", 0},
        {"/models/0/judge/slope", "x"},
        {"/models/0/judge/logistic_columns/0", 9999},
        {"/models/0/judge/logistic/mean", Json::array()},
        {"/models/0/judge/trees", 5},
        {"/models/0/kind", "oracle"}};
    for (auto const& [place, value] : changes) {
        Json wrong = good;
        wrong[Json::json_pointer{place}] = value;
        EXPECT_THROW((void)ModelFile::from_json(wrong), std::exception) << place << " " << value;
    }
}

TEST(Extractor, SilenceIsBoundedAndTimesThatRunBackDoNotHarm)
{
    ExtractorOptions options;
    options.windows_ns = {10'000'000'000};
    options.step_ns = 1'000'000'000;
    std::size_t rows = 0;
    double reads = 0;
    FeatureExtractor extractor{options, [&](WindowRow const& row) {
                                   ++rows;
                                   reads =
                                       static_cast<double>(row.windows[0].totals.get(Direction::read, RowCount::rows));
                               }};
    extractor.push({.time_ns = 5'000'000'000, .address = 8, .bytes = 4096});
    extractor.push({.time_ns = 1, .address = 800, .bytes = 4096});
    extractor.push({.time_ns = std::numeric_limits<std::int64_t>::max(), .address = 80, .bytes = 0xFFFFFFFF});
    extractor.advance_to(std::numeric_limits<std::int64_t>::max());
    EXPECT_LT(rows, 30);
    EXPECT_EQ(extractor.rows(), 2 + 65536); // the rest of 4 GiB is more than a command can move
    options.step_ns = 7;
    EXPECT_THROW((FeatureExtractor{options, {}}), Error);
    options.step_ns = 0;
    EXPECT_THROW((FeatureExtractor{options, {}}), Error);
}

TEST(History, ForgetsByAgeAndWhenFull)
{
    BlockHistory history{1000, 1 << 14};
    history.at(5, 1).last_read = 1;
    EXPECT_EQ(history.at(5, 1001).last_read, 1);
    EXPECT_EQ(history.at(5, 1002).last_read, 0);
    for (std::uint64_t block = 0; block < 100'000; ++block)
        history.at(block, 2000).last_write = 2000;
    EXPECT_GT(history.overflows(), 0);
    EXPECT_EQ(history.at(99'999, 2000).last_write, 2000);
}

TEST(Labels, ByNameWhateverTheVersion)
{
    Labels const labels;
    for (char const* const name : {"WannaCry", "TESLACRYPT", "GandCrab4", "GandCrabv5", "Ryuk_2", "Sodinokibi (REvil)"})
        EXPECT_TRUE(labels.is_ransomware(name)) << name;
    for (char const* const name : {"AESCrypt", "Zip", "Hiveview", "Continuum", "", "Crypt"})
        EXPECT_FALSE(labels.is_ransomware(name)) << name;
    EXPECT_TRUE(Labels{{"zip"}}.is_ransomware("Zip"));
    EXPECT_FALSE(Labels{{"zip"}}.is_ransomware("WannaCry"));
}

TEST(Figures, ARunTooShortForTwoWindowsIsJudgedEverySecond)
{
    RunWindows run;
    run.ransomware = true;
    ScoredRun scored{.run = &run, .probabilities = {0.1, 0.9, 0.9}, .threshold = 0.5, .tile_ns = 10'000'000'000};
    for (std::int64_t second = 1; second <= 3; ++second) {
        run.ends_ns.push_back(second * 1'000'000'000);
        run.written_bytes.push_back(static_cast<std::uint64_t>(second) * 1000);
    }
    EXPECT_TRUE(scored.alarmed_by_tiles(true));
    Json const list = run_list({scored});
    EXPECT_DOUBLE_EQ(list[0]["first_alert_s"], 3);
    EXPECT_DOUBLE_EQ(list[0]["highest"], 0.9);
    EXPECT_TRUE(list[0]["bytes_written_before"].is_null()); // the run has no writes recorded
    run.has_writes = true;
    EXPECT_DOUBLE_EQ(run_list({scored})[0]["bytes_written_before"], 3000);
    scored.probabilities = {0.9, 0.1, 0.9};
    EXPECT_FALSE(scored.alarmed_by_tiles(true));
    EXPECT_TRUE(run_list({scored})[0]["first_alert_s"].is_null());
}

TEST(Split, NoRunIsOnBothSides)
{
    std::vector<RunPlace> train;
    for (int i = 0; i < 5; ++i)
        train.push_back(
            {.folder = "r" + std::to_string(i), .path = "r" + std::to_string(i), .environment = "m", .program = "P"});
    train.push_back({.folder = "x", .path = "x", .environment = "other", .program = "P"});
    std::vector<RunPlace> test = train;
    std::vector<RunPlace> const all = train;
    split_runs(train, test, true);
    EXPECT_EQ(train.size(), 2);
    EXPECT_EQ(test.size(), 4); // the single run of the other machine tests
    std::vector<RunPlace> held = all;
    split_runs(train, held, false);
    EXPECT_EQ(held.size(), 4);
    std::vector<RunPlace> same = all;
    std::vector<RunPlace> known = all;
    EXPECT_THROW(split_runs(known, same, false), Error);
}

} // namespace
} // namespace undercroft::analysis
