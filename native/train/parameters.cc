// Layout of a parameter set.
#include "parameters.h"

#include <stdexcept>

#include "albert/workspace.h"
#include "support/error.h"

namespace albert {

const float* ParameterValues::of(std::string_view name) const {
  for (const Parameter& parameter : parameters)
    if (without_prefix(parameter.name) == name) return parameter.data;
  throw std::logic_error(str("the model has no parameter '", name, "'"));
}

ParameterSet::ParameterSet(const std::vector<Parameter>& parameters, Backend& backend)
    : backend_(backend), parameters_(parameters), begin_{0} {
  for (size_t i = 0; i < parameters.size(); ++i) {
    begin_.push_back(begin_.back() + Workspace::rounded(static_cast<size_t>(parameters[i].count())));
    index_.emplace(without_prefix(parameters[i].name), i);
  }
  memory_ = backend.allocate(begin_.back());
  for (Parameter& parameter : parameters_) parameter.data = nullptr;
  clear();
}

void ParameterSet::clear() { backend_.clear(memory_, begin_.back()); }

void ParameterSet::copy_from(const std::vector<Parameter>& parameters) {
  for (size_t i = 0; i < parameters.size(); ++i)
    backend_.upload(slice(i), parameters[i].data, static_cast<size_t>(parameters[i].count()));
}

ParameterValues ParameterSet::values() const {
  ParameterValues values{HostView(backend_, memory_, begin_.back()), parameters_};
  for (size_t i = 0; i < parameters_.size(); ++i)
    values.parameters[i].data = values.memory.data() + begin_[i];
  return values;
}

float* ParameterSet::of(std::string_view name) {
  const auto found = index_.find(std::string(name));
  if (found == index_.end()) throw std::logic_error(str("the model has no parameter '", name, "'"));
  return slice(found->second);
}

}  // namespace albert
