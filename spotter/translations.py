"""What the page says, in each of its languages, and which one a visitor gets."""

import html
from typing import Any

LANGUAGES = ("en", "es", "zh")

# Key -> English, Spanish, Chinese. Model titles and labels are the model's own words and stay.
_TEXTS: dict[str, tuple[str, str, str]] = {
    "tab_one": ("One picture", "Una foto", "一张图片"),
    "tab_many": ("Many", "Varias", "多张图片"),
    "tab_about": ("About", "Modelo", "关于"),
    "tab_use": ("Embed & API", "Insertar y API", "嵌入与 API"),
    "picture": ("Picture", "Foto", "图片"),
    "drop": ("Drop a picture here\nor choose one", "Suelta una foto aquí\no elige una", "把图片拖到这里\n或选择一张"),
    "example": ("Example", "Ejemplo", "示例"),
    "name_upload": ("Choose a file", "Elegir un archivo", "选择文件"),
    "name_camera": ("Use the camera", "Usar la cámara", "使用摄像头"),
    "name_paste": ("Paste a picture", "Pegar una foto", "粘贴图片"),
    "name_remove": ("Remove the picture", "Quitar la foto", "移除图片"),
    "name_capture": ("Take the picture", "Hacer la foto", "拍照"),
    "name_more": ("Add files", "Añadir archivos", "添加文件"),
    "name_clear": ("Remove all files", "Quitar todos los archivos", "移除所有文件"),
    "examples": ("Or try one of these", "O prueba con una de estas", "或者试试这些图片"),
    "start": ("Give me a picture", "Dame una foto", "给我一张图片"),
    "looking": ("Looking …", "Mirando …", "正在看……"),
    "no_answer": ("No answer this time", "Esta vez no hay respuesta", "这次没有回答"),
    "try_again": (
        "The app is busy or cannot be reached: give me the picture again in a moment.",
        "La app está ocupada o no responde: dame la foto otra vez dentro de un momento.",
        "应用繁忙或无法连接：请稍后重新提供图片。",
    ),
    "knows": ("I can tell apart {labels}.", "Sé distinguir {labels}.", "我能分辨：{labels}。"),
    "and": (" and ", " y ", "和"),
    "comma": (", ", ", ", "、"),
    "sure": ("{label}, {percent} % sure", "{label}, con un {percent} % de seguridad", "{label}，把握 {percent}%"),
    "very_sure": (
        "{label}, over 99 % sure",
        "{label}, con más del 99 % de seguridad",
        "{label}，把握超过 99%",
    ),
    "unsure": (
        "Not sure: this looks unlike the pictures I learned from",
        "No estoy seguro: no se parece a las fotos con las que aprendí",
        "不确定：这张图片和我学过的图片不像",
    ),
    "closest": (
        "If it is one of these after all, the closest is {label}.",
        "Si aun así es una de las que conozco, la más cercana es {label}.",
        "如果它确实属于其中一类，最接近的是：{label}。",
    ),
    "unreadable": ("I cannot read that", "No puedo leer eso", "我读不了这个文件"),
    "empty": ("The file is empty.", "El archivo está vacío.", "文件是空的。"),
    "not-a-picture": (
        "This is not a picture I can read: JPEG, PNG, WebP, GIF and BMP are fine.",
        "No es una foto que pueda leer: valen JPEG, PNG, WebP, GIF y BMP.",
        "这不是我能读的图片，可用 JPEG、PNG、WebP、GIF 和 BMP。",
    ),
    "too-large": ("The picture is too large.", "La foto es demasiado grande.", "图片太大。"),
    "too-small": ("The picture is too small.", "La foto es demasiado pequeña.", "图片太小。"),
    "corrupt": (
        "The picture is damaged or cut short.",
        "La foto está dañada o incompleta.",
        "图片已损坏或不完整。",
    ),
    "other": ("{text}", "{text}", "{text}"),
    "file_too_large": (
        "The file is larger than {limit} MB.",
        "El archivo supera los {limit} MB.",
        "文件超过 {limit} MB。",
    ),
    "all_too_large": (
        "All files together are larger than {limit} MB.",
        "Todos los archivos juntos superan los {limit} MB.",
        "所有文件合计超过 {limit} MB。",
    ),
    "left_out": (
        "{count} more pictures were left out: {most} at a time are the most.",
        "Se omitieron {count} fotos más: el máximo por vez es {most}.",
        "另有 {count} 张图片未处理：每次最多 {most} 张。",
    ),
    "zip_many": (
        "The zip holds far too many files.",
        "El zip contiene demasiados archivos.",
        "zip 中的文件太多。",
    ),
    "zip_damaged": (
        "The zip is damaged and cannot be opened.",
        "El zip está dañado y no se puede abrir.",
        "zip 已损坏，无法打开。",
    ),
    "zip_empty": ("The zip holds no files.", "El zip no contiene archivos.", "zip 中没有文件。"),
    "locked": (
        "The file is locked with a password.",
        "El archivo está protegido con contraseña.",
        "文件有密码保护。",
    ),
    "packed": (
        "The file is damaged in the zip, or packed in a way that cannot be opened.",
        "El archivo está dañado dentro del zip o comprimido de un modo que no se puede abrir.",
        "文件在 zip 中已损坏，或压缩方式无法打开。",
    ),
    "nested": ("A zip within a zip is not opened.", "Un zip dentro de otro zip no se abre.", "不打开 zip 中的 zip。"),
    "not_ready": ("Not ready", "No está listo", "尚未就绪"),
    "why": ("Why?", "¿Por qué?", "为什么？"),
    "evidence": (
        "What speaks for “{label}” is orange; what I did not look at is dim.",
        "Lo que habla a favor de «{label}» está en naranja; lo que no miré, en penumbra.",
        "橙色处支持“{label}”；变暗处我没有看。",
    ),
    "evidence_alt": (
        "The picture, with the places that speak for {label} in orange",
        "La foto, con los lugares que hablan a favor de {label} en naranja",
        "这张图片，支持“{label}”的地方标为橙色",
    ),
    "nearest": (
        "It looks most like these, of the pictures I learned from that may be shown:",
        "De las fotos con las que aprendí y que se pueden mostrar, se parece sobre todo a estas:",
        "在我学过且允许展示的图片中，最像的是：",
    ),
    "none_shown": (
        "None of the pictures I learned from that look like it may be shown.",
        "Ninguna de las fotos parecidas con las que aprendí se puede mostrar.",
        "我学过的相似图片都不允许展示。",
    ),
    "nearest_alt": ("A training picture of {label}", "Una foto de entrenamiento de {label}", "训练图片：{label}"),
    "own": ("the owner's own", "propia del autor", "作者自有"),
    "feedback": ("Was this right?", "¿Es correcto?", "答对了吗？"),
    "it_is": ("It is", "Es", "它是"),
    "none_of_these": ("none of these", "ninguna de estas", "都不是"),
    "consent": (
        "Keep this picture, without its metadata, to improve the model. People who run this app will look at it, and "
        "may keep it in a private data set on Hugging Face.",
        "Guardar esta foto, sin sus metadatos, para mejorar el modelo. Quienes gestionan esta app la verán y pueden "
        "guardarla en un conjunto de datos privado en Hugging Face.",
        "保存这张图片（不含元数据）以改进模型。运营此应用的人会查看它，并可能将其保存在 Hugging Face 的私有数据集中。",
    ),
    "send": ("Send", "Enviar", "发送"),
    "send_picture": ("There is no answer yet.", "Todavía no hay respuesta.", "还没有答案。"),
    "send_choose": ("Choose what it is first.", "Elige primero qué es.", "请先选择它是什么。"),
    "send_consent": (
        "Nothing is sent without your consent: tick the box first.",
        "No se envía nada sin tu consentimiento: marca primero la casilla.",
        "未经您同意不会发送任何内容：请先勾选。",
    ),
    "sent": (
        "Thank you. It can be deleted by its number: {id}",
        "Gracias. Se puede borrar con su número: {id}",
        "谢谢。可凭编号删除：{id}",
    ),
    "not_sent": ("It could not be kept.", "No se pudo guardar.", "未能保存。"),
    "forget": ("Delete it again", "Borrarla", "删除"),
    "forgotten": ("It is deleted.", "Está borrada.", "已删除。"),
    "not_forgotten": (
        "It could not be deleted; try again later.",
        "No se pudo borrar; inténtalo más tarde.",
        "未能删除，请稍后再试。",
    ),
    "you_first": ("What do you say it is?", "¿Qué dices tú que es?", "您认为它是什么？"),
    "you_first_why": (
        "This model is on trial: you say first, then it answers. Only the two answers are kept, not the picture.",
        "Este modelo está a prueba: primero dices tú y después responde él. Solo se guardan las dos respuestas, no la "
        "foto.",
        "该模型正在试用：请您先回答，然后它再回答。只保存两个答案，不保存图片。",
    ),
    "you_say": ("It is", "Es", "它是"),
    "say_it": ("That is my answer", "Esa es mi respuesta", "这是我的答案"),
    "you_agree": ("You said the same: {label}.", "Dijiste lo mismo: {label}.", "您的答案相同：{label}。"),
    "you_differ": ("You said: {label}.", "Dijiste: {label}.", "您的答案：{label}。"),
    "stage_changed": (
        "Something has changed meanwhile: give me the picture again.",
        "Algo ha cambiado entretanto: dame la foto otra vez.",
        "情况有变：请重新提供图片。",
    ),
    "person_first": ("A person looks at it first", "Primero la mira una persona", "先由人工查看"),
    "person_first_why": (
        "This model is on trial: nothing it says is shown before somebody has checked it.",
        "Este modelo está a prueba: nada de lo que dice se muestra antes de que alguien lo revise.",
        "该模型正在试用：它的回答经人工检查后才会显示。",
    ),
    "consent_wait": (
        "Keep this picture, without its metadata, until somebody who runs this app has looked at it, 7 days at most.",
        "Guardar esta foto, sin sus metadatos, hasta que la mire alguien que gestiona esta app, 7 días como máximo.",
        "保存这张图片（不含元数据），直到运营此应用的人查看为止，最多 7 天。",
    ),
    "ask_person": ("Ask for the answer", "Pedir la respuesta", "请求回答"),
    "waiting": ("Waiting for a person", "Esperando a una persona", "等待人工查看"),
    "waiting_why": (
        "The answer appears here as soon as somebody has looked at it. The picture is then deleted.",
        "La respuesta aparecerá aquí en cuanto alguien la mire. Después se borra la foto.",
        "有人查看后，答案会显示在这里。图片随后删除。",
    ),
    "ticket": ("Its number: {id}", "Su número: {id}", "编号：{id}"),
    "withdraw": ("Do not wait, delete it", "No esperar y borrarla", "不等了，删除"),
    "not_waiting": (
        "It cannot wait for a person now; try again later.",
        "Ahora no puede esperar a una persona; inténtalo más tarde.",
        "现在无法排队等待人工查看，请稍后再试。",
    ),
    "gone": ("It does not wait any more", "Ya no está en espera", "已不在等待"),
    "person_confirmed": (
        "The model said so, and a person has confirmed it.",
        "Lo dijo el modelo y una persona lo ha confirmado.",
        "模型的回答，并经人工确认。",
    ),
    "person_said": (
        "A person says so; the model said something else, or was not sure.",
        "Lo dice una persona; el modelo dijo otra cosa, o no estaba seguro.",
        "这是人工的回答；模型的回答不同，或不确定。",
    ),
    "person_none": (
        "A person says: none of the things this model knows",
        "Una persona dice: ninguna de las cosas que conoce este modelo",
        "人工的回答：不是该模型认识的任何一类",
    ),
    "one_by_one": (
        "While this model is on trial, pictures are answered one by one.",
        "Mientras este modelo está a prueba, las fotos se responden de una en una.",
        "该模型试用期间，图片须逐张提交。",
    ),
    "files": ("Pictures, or a zip of pictures", "Fotos, o un zip con fotos", "图片，或装有图片的 zip"),
    "limits": (
        "Pictures, or a zip of pictures: at most {count} of them, {total} MB unpacked, and {each} MB a file.",
        "Fotos, o un zip con fotos: como máximo {count}, {total} MB descomprimidos y {each} MB por archivo.",
        "图片，或装有图片的 zip：每次最多 {count} 张，解压后 {total} MB，每个文件 {each} MB。",
    ),
    "classify_all": ("Classify them all", "Clasificarlas todas", "全部分类"),
    "csv": ("Download as CSV", "Descargar como CSV", "下载 CSV"),
    "progress": ("{done} of {total}", "{done} de {total}", "{done} / {total}"),
    "done": (
        "{pictures} pictures: {named} with a name, {unsure} not sure, {failed} not read",
        "{pictures} fotos: {named} con nombre, {unsure} sin seguridad, {failed} no leídas",
        "{pictures} 张图片：{named} 张已识别，{unsure} 张不确定，{failed} 张无法读取",
    ),
    "nothing": ("Choose some files first.", "Elige primero algunos archivos.", "请先选择文件。"),
    "column_file": ("File", "Archivo", "文件"),
    "column_answer": ("Answer", "Respuesta", "结果"),
    "column_sure": ("Sure", "Seguridad", "把握"),
    "not_sure": ("not sure", "no seguro", "不确定"),
    "about_good": ("How good it is", "Qué tan bueno es", "准确程度"),
    "about_error": (
        "Wrong on {error} of {pictures} pictures it did not see (95 % interval {low} to {high}).",
        "Falló en {error} de {pictures} fotos que no había visto (intervalo del 95 %: {low} a {high}).",
        "在 {pictures} 张没见过的图片上错误率为 {error}（95% 置信区间 {low} 至 {high}）。",
    ),
    "about_error_seen": (
        "Wrong on {error} of {pictures} pictures that it may have learnt from (95 % interval {low} to {high}).",
        "Falló en {error} de {pictures} fotos con las que quizá aprendió (intervalo del 95 %: {low} a {high}).",
        "在 {pictures} 张可能学过的图片上错误率为 {error}（95% 置信区间 {low} 至 {high}）。",
    ),
    "about_class": ("Class", "Clase", "类别"),
    "about_pictures": ("Pictures", "Fotos", "图片"),
    "about_right": ("Recognised", "Reconocidas", "识别正确"),
    "about_interval": ("95 % interval", "Intervalo del 95 %", "95% 置信区间"),
    "about_unsure": ("When it is not sure", "Cuándo no está seguro", "何时不确定"),
    "about_threshold": (
        "A picture unlike those it learned from is answered with “not sure”; {accepted} of the pictures it did not "
        "see were like them.",
        "Ante una foto que no se parece a las que conoce responde «no seguro»; el {accepted} de las fotos que no "
        "había visto sí se parecían.",
        "遇到与学过的图片不像的图片时，回答“不确定”；在没见过的图片中，有 {accepted} 被认为相似。",
    ),
    "about_limits": ("What it is not for", "Para qué no sirve", "不适用的场合"),
    "about_limits_text": (
        "It knows these things and nothing else: a familiar-looking picture of something else gets one of the labels "
        "all the same. Small or partly hidden things may escape it. Do not use it where a wrong answer harms someone, "
        "nor to decide about people.",
        "Conoce estas cosas y ninguna otra: una foto de aspecto familiar de otra cosa recibe igualmente una de las "
        "etiquetas. Lo pequeño o medio oculto puede escapársele. No lo uses donde una respuesta equivocada dañe a "
        "alguien, ni para decidir sobre personas.",
        "它只认识这些类别：看起来相似的其他东西也会得到其中一个标签。太小或被遮挡的东西可能认不出。"
        "不要用在答错会伤害人的地方，也不要用来对人作决定。",
    ),
    "about_sources": ("Where its pictures came from", "De dónde vienen sus fotos", "图片来源"),
    "about_source": ("Source", "Fuente", "来源"),
    "about_license": ("Licence", "Licencia", "许可"),
    "about_private": (
        "Shown on this page are only the owner's own pictures and those under an open licence.",
        "En esta página solo se muestran las fotos propias del autor y las que tienen licencia abierta.",
        "本页只展示作者自有的图片和开放许可的图片。",
    ),
    "about_made": ("How it was made", "Cómo se hizo", "制作方式"),
    "about_made_text": (
        "{arch}, {size} pixels a side, learnt from {pictures} pictures.",
        "{arch}, {size} píxeles de lado, aprendió con {pictures} fotos.",
        "{arch}，边长 {size} 像素，学习了 {pictures} 张图片。",
    ),
    "about_revision": ("Revision", "Revisión", "版本"),
    "use_embed": ("On your own page", "En tu propia página", "嵌入你的网页"),
    "use_embed_text": (
        "A frame, as high as what is in it. Add &amp;__theme=dark to its address for a dark page.",
        "Un marco, tan alto como su contenido. Añade &amp;__theme=dark a su dirección para una página oscura.",
        "一个高度随内容变化的框架。深色网页请在地址后加 &amp;__theme=dark。",
    ),
    "use_element": ("As an element", "Como elemento", "作为网页元素"),
    "use_element_text": (
        "Without a frame, with the script of this very version. Needs an app that other sites may read, as Spaces are.",
        "Sin marco, con el código de esta misma versión. Requiere una app que otros sitios puedan leer, como un Space.",
        "不用框架，使用与本版本一致的脚本。应用须允许其他网站访问，例如 Space。",
    ),
    "use_python": ("From Python", "Desde Python", "Python"),
    "use_javascript": ("From JavaScript", "Desde JavaScript", "JavaScript"),
    "use_curl": ("From anywhere", "Desde cualquier sitio", "任何环境"),
    "use_many": ("Many pictures", "Varias fotos", "多张图片"),
    "use_more": ("The same as plain text: {link}", "Lo mismo como texto: {link}", "纯文本版本：{link}"),
    "copy": ("Copy", "Copiar", "复制"),
    "copied": ("Copied", "Copiado", "已复制"),
}


def say(key: str, language: str, **values: Any) -> str:
    """A sentence in a language, with values put in as they are.

    Raises:
        KeyError: there is no such key, language or value.
    """
    return _TEXTS[key][LANGUAGES.index(language)].format(**values)


def say_html(key: str, language: str, **values: Any) -> str:
    """The same as HTML, the values escaped."""
    return say(key, language, **{name: html.escape(str(value)) for name, value in values.items()})


def has(key: str) -> bool:
    """Whether there is such a text."""
    return key in _TEXTS


def join_labels(labels: tuple[str, ...], language: str, most: int = 12) -> str:
    """Labels as people list them: of more than `most`, some, and the last."""
    comma, last = say("comma", language), say("and", language)
    if len(labels) < 2:
        return comma.join(labels)
    skipped = f"{comma}…" if len(labels) > most else ""
    return comma.join(labels[:-1][: most - 1]) + skipped + last + labels[-1]


def pick_language(accepted: str | None) -> str:
    """The language of an Accept-Language header: of its first choice, by the rule that Gradio's page goes by.

    Gradio knows zh-CN and zh-TW, but no plain zh; anything unknown is English.
    """
    choices = []
    for position, part in enumerate((accepted or "").split(",")):
        tag, _, weight = part.strip().partition(";")
        text = weight.strip().removeprefix("q=")
        choices.append((-float(text) if text.replace(".", "", 1).isdecimal() else -1.0, position, tag.strip().lower()))
    first = min(choices)[2]
    if first in {"zh-cn", "zh-tw"}:
        return "zh"
    base = first.partition("-")[0]
    return base if base in {"en", "es"} else "en"


def messages(language: str) -> dict[str, str]:
    """The texts without values, under the keys that `name_key` gives, as Gradio's page takes them."""
    return {name_key(key): say(key, language) for key, texts in _TEXTS.items() if "{" not in texts[0]}


def name_key(key: str) -> str:
    """The key of a text in Gradio's own table, which has short words of its own."""
    return f"spotter_{key.replace('-', '_')}"


def as_message(markup: str) -> str:
    """HTML that Gradio's table takes for a text without values: braces and quotes mean something there."""
    return markup.replace("'", "&#39;").replace("{", "&#123;").replace("}", "&#125;")
