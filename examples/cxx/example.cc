// SPDX-License-Identifier: LGPL-2.1-or-later
// C++11: handles that close themselves, errors as exceptions. Members are destroyed in the reverse order: readers before the domain.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include <tidemark.h>

namespace {

void must(int error, const char *what) {
    if (error != 0)
        throw std::runtime_error(std::string(what) + ": " + tide_strerror(error));
}

struct CloseDomain {
    void operator()(tide *d) const {
        tide_close(d);
    }
};
struct CloseReader {
    void operator()(tide_reader *r) const {
        tide_reader_close(r);
    }
};
using Domain = std::unique_ptr<tide, CloseDomain>;
using Reader = std::unique_ptr<tide_reader, CloseReader>; // of the thread that opened it

Domain open(const std::string &name) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags |= TIDE_EPHEMERAL;
    tide *d = nullptr;
    must(tide_open(&d, name.c_str(), &opts), "open");
    return Domain(d);
}

// Grows the buffer until the value fits, which another write may have made larger meanwhile.
bool get(tide_reader *r, const std::string &key, std::string &value, struct tide_answer &answer) {
    for (;;) {
        int error = tide_get(r, key.data(), key.size(), nullptr, &value[0], value.size(), &answer);
        if (error == TIDE_ERR_NOT_FOUND)
            return false;
        if (error != TIDE_ERR_BUFFER) {
            must(error, "get");
            value.resize(answer.value_size);
            return true;
        }
        value.resize(answer.value_size);
    }
}

} // namespace

int main() {
    try {
        Domain domain = open("cxx-" + std::to_string(getpid()));
        struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
        leader.role = TIDE_LEADER;
        must(tide_replica_start(domain.get(), &leader, nullptr), "lead");
        tide_reader *r = nullptr;
        must(tide_reader_open(domain.get(), nullptr, &r), "reader");
        Reader reader(r);
        const std::string text(1000, 'x');
        must(tide_put(domain.get(), r, "key", 3, text.data(), text.size(), nullptr), "put");
        std::string value(16, 0);
        struct tide_answer answer = TIDE_ANSWER_INIT;
        if (!get(r, "key", value, answer) || value != text)
            return 1;
        std::printf("%zu bytes, %s, at index %llu\n", value.size(), tide_reason_name(answer.reason),
                    static_cast<unsigned long long>(answer.index));
        return get(r, "another", value, answer);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
