// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
// Those functions of XGBoost's C interface that we call. The wheel that carries libxgboost.so has no header; the
// names and types are XGBoost's documented, stable ABI (https://xgboost.readthedocs.io, "C API"), and the library's
// version is checked when it is first used.
#include <cstdint>

extern "C" {
using DMatrixHandle = void*;
using BoosterHandle = void*;

// Each returns 0, or -1 with a text in XGBGetLastError.
char const* XGBGetLastError();
void XGBoostVersion(int* major, int* minor, int* patch);
int XGBSetGlobalConfig(char const* json);
int XGDMatrixCreateFromDense(char const* array, char const* config, DMatrixHandle* out);
int XGDMatrixSetFloatInfo(DMatrixHandle handle, char const* field, float const* values, std::uint64_t count);
int XGDMatrixFree(DMatrixHandle handle);
int XGBoosterCreate(DMatrixHandle const matrices[], std::uint64_t count, BoosterHandle* out);
int XGBoosterFree(BoosterHandle handle);
int XGBoosterSetParam(BoosterHandle handle, char const* name, char const* value);
int XGBoosterUpdateOneIter(BoosterHandle handle, int iteration, DMatrixHandle training);
int XGBoosterPredictFromDMatrix(BoosterHandle handle, DMatrixHandle matrix, char const* config,
                                std::uint64_t const** shape, std::uint64_t* dimensions, float const** result);
int XGBoosterPredictFromDense(BoosterHandle handle, char const* array, char const* config, DMatrixHandle unused,
                              std::uint64_t const** shape, std::uint64_t* dimensions, float const** result);
int XGBoosterSaveModelToBuffer(BoosterHandle handle, char const* config, std::uint64_t* bytes, char const** result);
int XGBoosterLoadModelFromBuffer(BoosterHandle handle, void const* buffer, std::uint64_t bytes);
}
