// The bytes of one message of the wire, written from its end to its front: the length of what lies
// in a message stands before it, and is known by the time it is written.
//
// For answers that are made thousands of times a second. A generated message costs an allocation
// for each message and each text in it, and a walk to learn its length; this costs a copy of its
// texts. What comes first in a message is written last; a field that is zero or empty is left out,
// as proto3 has it.
//
// Threads: none. Errors: what is longer than kRoom aborts.
#pragma once

#include <google/protobuf/io/coded_stream.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "kvcache/base/check.h"

namespace plimsoll {

class WireWriter {
 public:
  static constexpr size_t kRoom = 2048;

  WireWriter() {}  // leaves the room as it is: zeros would cost as much as an answer

  void Number(int field, uint64_t value) {
    if (value == 0) return;
    Varint(value);
    Tag(field, kVarint);
  }
  void Number(int field, int64_t value) { Number(field, static_cast<uint64_t>(value)); }
  void Text(int field, std::string_view text) {
    if (text.empty()) return;
    Copy(text);
    Enclose(field, text.size());
  }
  // What was written last, so many bytes, becomes the message or text in this field.
  void Enclose(int field, size_t size) {
    Varint(size);
    Tag(field, kLengthDelimited);
  }

  size_t size() const { return kRoom - begin_; }
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(room_.data()) + begin_, size()};
  }

 private:
  static constexpr uint32_t kVarint = 0, kLengthDelimited = 2;  // how a field is written

  void Tag(int field, uint32_t kind) { Varint(static_cast<uint32_t>(field) << 3 | kind); }
  void Varint(uint64_t value) {
    using Stream = google::protobuf::io::CodedOutputStream;
    Stream::WriteVarint64ToArray(value, Take(Stream::VarintSize64(value)));
  }
  void Copy(std::string_view bytes) { std::memcpy(Take(bytes.size()), bytes.data(), bytes.size()); }
  // The room before what is written.
  uint8_t* Take(size_t size) {
    PLIMSOLL_CHECK(size <= begin_, size, begin_);
    begin_ -= size;
    return room_.data() + begin_;
  }

  std::array<uint8_t, kRoom> room_;
  size_t begin_ = kRoom;
};

}  // namespace plimsoll
