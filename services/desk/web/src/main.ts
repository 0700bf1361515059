// In this order: what is later in the cascade may take back what is earlier.
import "./style/base.css";
import "./style/page.css";
import "./style/card.css";
import "./style/forms.css";
import "./style/open.css";
import "./style/around.css";
import "./style/narrow.css";
import { loadConfig, readConfig } from "./config.ts";
import { CallcardDesk } from "./view/desk.ts";

// Without its config the page would still find everything where it came from itself.
const config = await loadConfig(location).catch(() => readConfig(null, location.href));
const desk = new CallcardDesk();
desk.config = config;
document.body.append(desk);
