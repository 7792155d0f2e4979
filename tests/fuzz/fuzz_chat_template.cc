// Apache-2.0. Fuzzes the parser and the renderer of chat templates.
#include "data/template/chat_template.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  static const std::vector<ChatMessage> messages = {{"system", "Be brief."},
                                                    {"user", " Hi, \u00e9\U0001F600 "},
                                                    {"assistant", "<think>x</think> 4"},
                                                    {"user", "1,2"}};
  testing::AllowError([&] {
    const data::ChatTemplate chat(testing::Text(data, size), "t",
                                  {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
    chat.Render(messages);
    chat.Render(std::span(messages).subspan(1), false);
  });
  return 0;
}
