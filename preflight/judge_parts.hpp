// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
#pragma once
#include "preflight/judge.hpp"

namespace undercroft::preflight {

// judge_processor.cpp
void judge_virtualisation(Facts const& facts, std::vector<Finding>& findings);
void judge_processor(Facts const& facts, Plan const& plan, std::vector<Finding>& findings);
// judge_devices.cpp
void judge_disks(Facts const& facts, std::vector<Finding>& findings);
void judge_network(Facts const& facts, std::vector<Finding>& findings);
void judge_iommu(Facts const& facts, std::vector<Finding>& findings);

} // namespace undercroft::preflight
