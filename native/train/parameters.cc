// Layout of a parameter set.
#include "parameters.h"

#include <algorithm>
#include <stdexcept>

#include "albert/workspace.h"
#include "support/error.h"

namespace albert {

ParameterSet::ParameterSet(const std::vector<Parameter>& parameters, Backend& backend)
    : backend_(backend), parameters_(parameters), begin_{0} {
  for (size_t i = 0; i < parameters.size(); ++i) {
    begin_.push_back(begin_.back() + Workspace::rounded(static_cast<size_t>(parameters[i].count())));
    index_.emplace(without_prefix(parameters[i].name), i);
  }
  memory_ = backend.allocate(begin_.back());
  for (size_t i = 0; i < parameters.size(); ++i) parameters_[i].data = slice(i);
  clear();
}

void ParameterSet::clear() { std::fill_n(memory_, begin_.back(), 0.0f); }

void ParameterSet::copy_from(const std::vector<Parameter>& parameters) {
  for (size_t i = 0; i < parameters.size(); ++i)
    std::copy_n(parameters[i].data, parameters[i].count(), slice(i));
}

float* ParameterSet::of(std::string_view name) {
  const auto found = index_.find(std::string(name));
  if (found == index_.end()) throw std::logic_error(str("the model has no parameter '", name, "'"));
  return slice(found->second);
}

}  // namespace albert
