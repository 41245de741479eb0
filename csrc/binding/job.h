#pragma once
#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "../core/error.h"
#include "../core/job_control.h"
#include "../core/memory.h"

namespace listwise::binding {

// What belongs to one JavaScript environment: the jobs under way, so that all can be cancelled when
// it ends.
struct State {
  std::set<std::shared_ptr<core::CancelToken>> running;
  Napi::FunctionReference encoder;
  Napi::FunctionReference trainer;

  void cancelAll() {
    for (const auto& token : running) token->cancel();
  }
};

inline Napi::Value errorToJs(Napi::Env env, const std::exception_ptr& exception) {
  std::string code = "INTERNAL",
              message = "An unknown error. This is a bug in listwise; please report it.";
  try {
    std::rethrow_exception(exception);
  } catch (const core::Error& error) {
    code = error.code();
    message = error.what();
    // libtorch appends a backtrace.
    message = message.substr(0, message.find("\nException raised from"));
  } catch (const std::exception& error) {
    message = error.what();
    if (core::isOutOfMemory(exception)) {
      code = "OUT_OF_MEMORY";
      message = "Out of memory; use a smaller tokenBudget or batch. (" + message + ")";
    }
  } catch (...) {
  }
  auto error = Napi::Error::New(env, message).Value();
  error.Set("code", Napi::String::New(env, code));
  return error;
}

// Runs a function of the binding; what it throws becomes a JavaScript exception.
template <class Work>
auto guarded(Napi::Env env, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw Napi::Error(env, errorToJs(env, std::current_exception()));
  }
}

// Keeps an object from being used twice at once: taken on the JavaScript thread, given back there
// when the job ends.
class Lease {
 public:
  Lease() = default;
  Lease(bool& busy, const char* name) : busy_(&busy) {
    if (busy) {
      throw core::Error(
          "BUSY", "Expected the " + std::string(name) +
                      " to be free but it is at work; wait for the promise of the call before.");
    }
    busy = true;
  }
  Lease(Lease&& other) noexcept : busy_(std::exchange(other.busy_, nullptr)) {}
  Lease& operator=(Lease&& other) noexcept {
    std::swap(busy_, other.busy_);
    return *this;
  }
  ~Lease() {
    if (busy_ != nullptr) *busy_ = false;
  }

 private:
  bool* busy_ = nullptr;
};

// The one kind of asynchronous work: runs `work` on a worker thread, then `finish` on the
// JavaScript thread. What `holds` carries (typed arrays, objects, leases) lives until then.
template <class T, class Holds>
class Job : public Napi::AsyncWorker {
 public:
  using Work = std::function<T(const core::CancelToken&)>;
  using Finish = std::function<Napi::Value(Napi::Env, T&)>;

  // { promise, cancel() }
  static Napi::Value start(Napi::Env env, Holds holds, Work work, Finish finish) {
    auto* job = new Job(env, std::move(holds), std::move(work), std::move(finish));
    auto out = Napi::Object::New(env);
    out.Set("promise", job->deferred_.Promise());
    out.Set("cancel", Napi::Function::New(env, [token = job->token_](const Napi::CallbackInfo&) {
              token->cancel();
            }));
    env.GetInstanceData<State>()->running.insert(job->token_);
    job->Queue();
    return out;
  }

 protected:
  void Execute() override {
    try {
      token_->throwIfCancelled();
      result_ = std::make_unique<T>(work_(*token_));
    } catch (...) {
      exception_ = std::current_exception();
    }
  }

  void OnOK() override {
    const Napi::HandleScope scope(Env());
    Env().GetInstanceData<State>()->running.erase(token_);
    Holds(std::move(holds_));  // given back before JavaScript hears of the end
    try {
      if (exception_) {
        deferred_.Reject(errorToJs(Env(), exception_));
      } else {
        settle();
      }
    } catch (const Napi::Error&) {
      // The environment is being torn down: there is nobody left to tell.
    }
  }

 private:
  // A result that can't be handed over (no memory for the array, say) is an error like any other.
  void settle() {
    try {
      deferred_.Resolve(finish_(Env(), *result_));
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    } catch (...) {
      deferred_.Reject(errorToJs(Env(), std::current_exception()));
    }
  }

  Job(Napi::Env env, Holds holds, Work work, Finish finish)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        holds_(std::move(holds)),
        work_(std::move(work)),
        finish_(std::move(finish)) {}

  Napi::Promise::Deferred deferred_;
  std::shared_ptr<core::CancelToken> token_ = std::make_shared<core::CancelToken>();
  Holds holds_;
  Work work_;
  Finish finish_;
  std::unique_ptr<T> result_;
  std::exception_ptr exception_;
};

// What most jobs hold.
struct Holds {
  std::vector<Napi::Reference<Napi::Value>> pins;
  std::vector<Lease> leases;

  void pin(std::vector<Napi::Reference<Napi::Value>> more) {
    for (auto& reference : more) pins.push_back(std::move(reference));
  }
  // Keeps an object of ours alive while it works.
  void keep(const Napi::Value& object) {
    pins.push_back(Napi::Reference<Napi::Value>::New(object, 1));
  }
};

template <class Array, class Number>
Napi::Value toTypedArray(Napi::Env env, const std::vector<Number>& numbers) {
  auto array = Array::New(env, numbers.size());
  std::copy(numbers.begin(), numbers.end(), array.Data());
  return array;
}

}  // namespace listwise::binding
