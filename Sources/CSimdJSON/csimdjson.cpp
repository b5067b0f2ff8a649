#include "csimdjson.h"

#include <cstring>
#include <new>
#include <simdjson.h>
#include <type_traits>

using namespace simdjson;

struct csimdjson_parser {
    dom::parser parser;
};

namespace {

// simdjson's references are a document and an index into it. They are carried over as bytes: no constructor is public.
template <typename To, typename From>
To carried(const From &from) noexcept {
    static_assert(sizeof(To) == sizeof(From), "another simdjson has larger references");
    static_assert(std::is_trivially_copyable<To>::value && std::is_trivially_copyable<From>::value, "not plain bytes");
    To to;
    std::memcpy(static_cast<void *>(&to), &from, sizeof to);
    return to;
}

dom::element element(csimdjson_value value) noexcept { return carried<dom::element>(value); }

}  // namespace

csimdjson_parser *csimdjson_create(void) { return new (std::nothrow) csimdjson_parser; }

void csimdjson_destroy(csimdjson_parser *parser) { delete parser; }

bool csimdjson_parse(csimdjson_parser *parser, const char *text, size_t byte_count, csimdjson_value *root,
                     const char **message) {
    dom::element value;
    // The last argument: copy into padded memory of the parser's, which it may read beyond the end.
    error_code error = parser->parser.parse(reinterpret_cast<const uint8_t *>(text), byte_count, true).get(value);
    if (error) {
        *message = error_message(error);
        return false;
    }
    *root = carried<csimdjson_value>(value);
    return true;
}

bool csimdjson_is_null(csimdjson_value value) { return element(value).is_null(); }

bool csimdjson_is_object(csimdjson_value value) { return element(value).is_object(); }

bool csimdjson_is_array(csimdjson_value value) { return element(value).is_array(); }

bool csimdjson_string(csimdjson_value value, const char **start, size_t *byte_count) {
    std::string_view text;
    if (element(value).get_string().get(text)) return false;
    *start = text.data();
    *byte_count = text.size();
    return true;
}

bool csimdjson_unsigned(csimdjson_value value, uint64_t *number) {
    if (!element(value).get_uint64().get(*number)) return true;
    // A number with a point or an exponent is a double; up to 2^53 it is exactly what was written.
    double real;
    if (element(value).type() != dom::element_type::DOUBLE || element(value).get_double().get(real)) return false;
    if (!(real >= 0 && real <= 9007199254740992.0) || real != static_cast<double>(static_cast<uint64_t>(real))) return false;
    *number = static_cast<uint64_t>(real);
    return true;
}

csimdjson_walk csimdjson_begin(csimdjson_value value) {
    dom::array array;
    dom::object object;
    if (!element(value).get_array().get(array)) {
        return {carried<csimdjson_value>(array.begin()), carried<csimdjson_value>(array.end()), false};
    }
    if (!element(value).get_object().get(object)) {
        return {carried<csimdjson_value>(object.begin()), carried<csimdjson_value>(object.end()), true};
    }
    return {value, value, false};
}

bool csimdjson_next(csimdjson_walk *walk, csimdjson_value *value, const char **name, size_t *name_byte_count) {
    if (walk->at.index == walk->end.index) return false;
    if (walk->is_object) {
        auto place = carried<dom::object::iterator>(walk->at);
        std::string_view key = place.key();
        *name = key.data();
        *name_byte_count = key.size();
        *value = carried<csimdjson_value>(place.value());
        ++place;
        walk->at = carried<csimdjson_value>(place);
    } else {
        auto place = carried<dom::array::iterator>(walk->at);
        *value = carried<csimdjson_value>(*place);
        ++place;
        walk->at = carried<csimdjson_value>(place);
    }
    return true;
}
