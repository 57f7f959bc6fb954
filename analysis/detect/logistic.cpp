// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#include "analysis/detect/logistic.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "analysis/read/error.hpp"

namespace undercroft::analysis {
namespace {

constexpr int most_steps = 50;
constexpr double small_step = 1e-9;
/// Values further out are outliers of a ratio with a small denominator.
constexpr double most_deviations = 6;

/// Solves the positive definite system a x = b by Cholesky; a is n * n, row by row, and is overwritten.
std::vector<double> solve(std::vector<double>& a, std::vector<double> b)
{
    std::size_t const n = b.size();
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = j; i < n; ++i) {
            double sum = a[i * n + j];
            for (std::size_t k = 0; k < j; ++k)
                sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / a[j * n + j];
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < i; ++k)
            b[i] -= a[i * n + k] * b[k];
        b[i] /= a[i * n + i];
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k)
            b[i] -= a[k * n + i] * b[k];
        b[i] /= a[i * n + i];
    }
    return b;
}

/// One Newton step: the change of (coefficients, intercept).
std::vector<double> newton_step(std::vector<double> const& rows, TrainingData const& data,
                                std::vector<double> const& weights, double l2)
{
    std::size_t const n = weights.size();
    std::vector<double> hessian(n * n);
    std::vector<double> gradient(n);
    for (std::size_t i = 0; i + 1 < n; ++i) {
        hessian[i * n + i] = l2;
        gradient[i] = -l2 * weights[i];
    }
    hessian[n * n - 1] = 1e-6;
    for (std::size_t r = 0; r < data.labels.size(); ++r) {
        double const* const x = &rows[r * n];
        double margin = 0;
        for (std::size_t i = 0; i < n; ++i)
            margin += x[i] * weights[i];
        double const p = 1 / (1 + std::exp(-margin));
        double const error = static_cast<double>(data.weights[r]) * (static_cast<double>(data.labels[r]) - p);
        double const curvature = static_cast<double>(data.weights[r]) * p * (1 - p);
        for (std::size_t i = 0; i < n; ++i) {
            gradient[i] += error * x[i];
            for (std::size_t j = 0; j <= i; ++j)
                hessian[i * n + j] += curvature * x[i] * x[j];
        }
    }
    return solve(hessian, gradient);
}

std::vector<double> numbers(nlohmann::json const& model, char const* name, std::size_t count)
{
    if (!model.is_object() || !model.contains(name) || !model[name].is_array() || model[name].size() != count)
        throw Error{std::string{"the logistic model's "} + name + " is not what it should be"};
    std::vector<double> result;
    for (nlohmann::json const& value : model[name]) {
        if (!value.is_number() || !std::isfinite(value.get<double>()))
            throw Error{std::string{"the logistic model's "} + name + " is not what it should be"};
        result.push_back(value.get<double>());
    }
    return result;
}

} // namespace

double Logistic::standardised(float value, std::size_t column) const
{
    if (std::isnan(value))
        return 0;
    return std::clamp((static_cast<double>(value) - mean_[column]) * scale_[column], -most_deviations, most_deviations);
}

Logistic Logistic::train(TrainingData const& data, double l2)
{
    if (std::ranges::find(data.labels, 0.0F) == data.labels.end() ||
        std::ranges::find(data.labels, 1.0F) == data.labels.end())
        throw Error{"training needs runs of both classes"};
    Logistic model;
    std::size_t const columns = data.matrix.columns;
    for (std::size_t c = 0; c < columns; ++c) {
        double n = 0;
        double sum = 0;
        double squares = 0;
        for (std::size_t r = 0; r < data.matrix.rows(); ++r) {
            double const value = static_cast<double>(data.matrix.row(r)[c]);
            if (std::isnan(value))
                continue;
            n += 1;
            sum += value;
            squares += value * value;
        }
        double const mean = n > 0 ? sum / n : 0;
        double const variance = n > 0 ? squares / n - mean * mean : 0;
        model.mean_.push_back(mean);
        model.scale_.push_back(variance > 1e-12 * (1 + mean * mean) ? 1 / std::sqrt(variance) : 0);
    }
    std::vector<double> rows;
    for (std::size_t r = 0; r < data.matrix.rows(); ++r) {
        for (std::size_t c = 0; c < columns; ++c)
            rows.push_back(model.standardised(data.matrix.row(r)[c], c));
        rows.push_back(1);
    }
    std::vector<double> weights(columns + 1);
    for (int step = 0; step < most_steps; ++step) {
        std::vector<double> const change = newton_step(rows, data, weights, l2);
        double size = 0;
        for (double const value : change)
            size = std::max(size, std::abs(value));
        for (std::size_t i = 0; i < weights.size(); ++i)
            weights[i] += change[i] * std::min(1.0, 2 / size); // far from the optimum a full step can overshoot
        if (size < small_step)
            break;
    }
    model.intercept_ = weights.back();
    weights.pop_back();
    model.coefficients_ = std::move(weights);
    return model;
}

std::vector<float> Logistic::contributions(Matrix const& matrix) const
{
    std::vector<float> result;
    for (std::size_t r = 0; r < matrix.rows(); ++r) {
        for (std::size_t c = 0; c < matrix.columns; ++c)
            result.push_back(static_cast<float>(coefficients_[c] * standardised(matrix.row(r)[c], c)));
        result.push_back(static_cast<float>(intercept_));
    }
    return result;
}

std::vector<float> Logistic::margins(Matrix const& matrix) const
{
    if (matrix.columns != coefficients_.size())
        throw Error{"the logistic model is of other columns"};
    std::vector<float> result;
    for (std::size_t r = 0; r < matrix.rows(); ++r) {
        double margin = intercept_;
        for (std::size_t c = 0; c < matrix.columns; ++c)
            margin += coefficients_[c] * standardised(matrix.row(r)[c], c);
        result.push_back(static_cast<float>(margin));
    }
    return result;
}

nlohmann::json Logistic::to_json() const
{
    return {{"mean", mean_}, {"scale", scale_}, {"coefficients", coefficients_}, {"intercept", intercept_}};
}

Logistic Logistic::from_json(nlohmann::json const& model, std::size_t columns)
{
    Logistic result;
    result.mean_ = numbers(model, "mean", columns);
    result.scale_ = numbers(model, "scale", columns);
    result.coefficients_ = numbers(model, "coefficients", columns);
    if (!model.contains("intercept") || !model["intercept"].is_number())
        throw Error{"the logistic model's intercept is not what it should be"};
    result.intercept_ = model["intercept"].get<double>();
    return result;
}

} // namespace undercroft::analysis
