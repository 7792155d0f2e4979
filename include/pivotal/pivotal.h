// Apache-2.0. The whole public interface of Pivotal. Programs without LibTorch (Pivotal::search)
// include pivotal/search.h and pivotal/pairs.h instead: model.h and training.h need
// Pivotal::pivotal.
#pragma once

#include "pivotal/error.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/pairs.h"
#include "pivotal/policy.h"
#include "pivotal/problem.h"
#include "pivotal/progress.h"
#include "pivotal/sampling.h"
#include "pivotal/search.h"
#include "pivotal/served.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pivotal/training.h"
#include "pivotal/version.h"
