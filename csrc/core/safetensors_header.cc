#include "safetensors_header.h"

#include <cstdio>
#include <limits>
#include <stdexcept>

namespace listwise::core {
namespace {

// A reader for just the JSON that the format allows: objects, strings and arrays of whole numbers.
// A JSON library would be one more thing to install for 100 lines.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument(what + " at byte " + std::to_string(at_) + " of the header");
  }

  char peek() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void expect(char c) {
    if (peek() != c) fail(std::string("expected '") + c + "'");
    ++at_;
  }

  // Calls `item` for each of the items between open and close that commas part.
  template <class Item>
  void sequence(char open, char close, Item item) {
    expect(open);
    if (peek() == close) {
      ++at_;
      return;
    }
    for (;;) {
      item();
      if (peek() == close) break;
      expect(',');
    }
    ++at_;
  }

  std::string string() {
    expect('"');
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') {
        ++at_;
        escape(out);
      } else {
        out += text_[at_++];
      }
    }
    if (at_ >= text_.size()) fail("unterminated string");
    ++at_;
    return out;
  }

  uint64_t number() {
    const char first = peek();
    if (first < '0' || first > '9') fail("expected a whole number");
    uint64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 10 - 1) {
        fail("number too large");
      }
      value = value * 10 + static_cast<uint64_t>(text_[at_++] - '0');
    }
    return value;
  }

 private:
  void escape(std::string& out) {
    static const std::map<char, char> plain = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
                                               {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};
    if (at_ >= text_.size()) fail("unterminated string");
    const char c = text_[at_++];
    if (const auto found = plain.find(c); found != plain.end()) {
      out += found->second;
    } else if (c == 'u') {
      appendUtf8(out, codePoint());
    } else {
      fail("unknown escape");
    }
  }

  uint32_t codePoint() {
    const uint32_t high = hex4();
    if (high < 0xD800 || high > 0xDBFF) return high;
    if (text_.substr(at_, 2) != "\\u") fail("half a surrogate pair");
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  uint32_t hex4() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail("expected four hexadecimal digits");
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    return value;
  }

  static void appendUtf8(std::string& out, uint32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xC0 | (c >> 6));
      out += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      out += static_cast<char>(0xE0 | (c >> 12));
      out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (c & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | (c >> 18));
      out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
      out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (c & 0x3F));
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

TensorInfo readTensor(Reader& reader, const std::string& name) {
  TensorInfo info;
  std::vector<uint64_t> offsets;
  reader.sequence('{', '}', [&] {
    const std::string key = reader.string();
    reader.expect(':');
    if (key == "dtype") {
      info.dtype = reader.string();
    } else if (key == "shape") {
      reader.sequence('[', ']',
                      [&] { info.shape.push_back(static_cast<int64_t>(reader.number())); });
    } else if (key == "data_offsets") {
      reader.sequence('[', ']', [&] { offsets.push_back(reader.number()); });
    } else {
      reader.fail("unknown field \"" + key + "\" of tensor " + name);
    }
  });
  if (offsets.size() != 2 || info.dtype.empty()) {
    reader.fail("tensor " + name + " lacks dtype or data_offsets");
  }
  info.begin = offsets[0];
  info.end = offsets[1];
  return info;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", c);
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

SafetensorsHeader parseSafetensorsHeader(std::string_view json) {
  SafetensorsHeader header;
  Reader reader(json);
  reader.sequence('{', '}', [&] {
    const std::string name = reader.string();
    reader.expect(':');
    if (name == "__metadata__") {
      reader.sequence('{', '}', [&] {
        std::string key = reader.string();
        reader.expect(':');
        header.metadata[key] = reader.string();
      });
    } else if (!header.tensors.emplace(name, readTensor(reader, name)).second) {
      reader.fail("tensor " + name + " stands twice");
    }
  });
  if (reader.peek() != '\0') reader.fail("unexpected text after the end");
  return header;
}

std::string writeSafetensorsHeader(const SafetensorsHeader& header) {
  std::string out = "{";
  const auto comma = [&] {
    if (out.size() > 1) out += ',';
  };
  if (!header.metadata.empty()) {
    out += "\"__metadata__\":{";
    bool first = true;
    for (const auto& [key, value] : header.metadata) {
      out += (first ? "" : ",") + quoted(key) + ':' + quoted(value);
      first = false;
    }
    out += '}';
  }
  for (const auto& [name, info] : header.tensors) {
    comma();
    out += quoted(name) + ":{\"dtype\":" + quoted(info.dtype) + ",\"shape\":[";
    for (size_t i = 0; i < info.shape.size(); ++i) {
      out += (i > 0 ? "," : "") + std::to_string(info.shape[i]);
    }
    out +=
        "],\"data_offsets\":[" + std::to_string(info.begin) + ',' + std::to_string(info.end) + "]}";
  }
  out += '}';
  while (out.size() % 8 != 0) out += ' ';
  return out;
}

}  // namespace listwise::core
